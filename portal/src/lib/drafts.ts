// Texts that were typed and not saved yet, while the page that they were typed
// on is away: a session that ends in between must not cost them. They are in
// memory alone, and belong to an account.

import type { Draft } from "./projects";

export interface Kept {
  draft: Draft;
  /** The version of the project that was edited; 0 for a new one. */
  version: number;
}

const kept = new Map<string, Kept>();
const keyOf = (tenantId: string, page: string) => `${tenantId} ${page}`;

export function keepDraft(tenantId: string, page: string, draft: Kept): void {
  kept.set(keyOf(tenantId, page), draft);
}

export function keptDraft(tenantId: string, page: string): Kept | undefined {
  return kept.get(keyOf(tenantId, page));
}

export function forgetDraft(tenantId: string, page: string): void {
  kept.delete(keyOf(tenantId, page));
}

/** The limits of the texts, in characters (docs/openapi.yaml, Draft). */
export const limits: Record<keyof Draft, number> = { name: 100, description: 4_000, objectives: 20_000 };

/** Characters as the server counts them: code points. */
export function lengthOf(text: string): number {
  return Array.from(text).length;
}

/** What is wrong with a draft, by field, in the server's words. */
export function problemsOf(draft: Draft): Partial<Record<keyof Draft, string>> {
  const problems: Partial<Record<keyof Draft, string>> = {};
  if (!/\P{White_Space}/u.test(draft.name)) problems.name = "The name is missing";
  for (const field of ["name", "description", "objectives"] as const) {
    if (lengthOf(draft[field]) > limits[field]) problems[field] = `The ${field} is longer than ${limits[field]} characters`;
  }
  return problems;
}
