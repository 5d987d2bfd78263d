// When to ask again.

import type { ExecutionStatus } from "./projects";

export interface Situation {
  /** The status that is shown; undefined before the first answer. */
  status: ExecutionStatus | undefined;
  /** How often in a row there was no answer. */
  failures: number;
  /** Seconds that the last refusal asked to wait. */
  retryAfter?: number | null;
  /** How long the tab has been hidden, in milliseconds; 0 while it is visible. */
  hiddenFor: number;
  /** How long the browser has been offline, in milliseconds; 0 while it is online. */
  offlineFor: number;
}

export const fastest = 2_000;
export const slowest = 60_000;

/**
 * Milliseconds until the next question, or false for none. 2 seconds while
 * something runs and is watched. In a hidden tab and offline the pauses grow
 * with the time; after failures they double. What has ended is asked about only
 * until there is an answer.
 */
export function nextPoll(s: Situation): number | false {
  if (s.status !== "running" && s.failures === 0) return false;
  const asleep = Math.max(s.hiddenFor, s.offlineFor);
  const pauses = [
    fastest * 2 ** Math.min(s.failures, 5),
    asleep > 0 ? 5_000 + asleep / 2 : 0,
    (s.retryAfter ?? 0) * 1_000,
  ];
  return Math.min(slowest, Math.max(...pauses));
}

/** An answer older than this is called stale while something runs. */
export const staleAfter = 15_000;
