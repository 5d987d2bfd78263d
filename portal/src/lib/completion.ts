// Which completions a user does not want to be told of again: of one execution
// of a project, so that a later one is told. It holds ids alone, no session.

const keyOf = (tenantId: string, projectId: string) => `rekindle.completion-seen.${tenantId}.${projectId}`;

/** The browser's localStorage, where it allows one. */
function storage(): Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

export function isCompletionHidden(tenantId: string, projectId: string, executionId: number | null): boolean {
  return storage()?.getItem(keyOf(tenantId, projectId)) === String(executionId);
}

export function hideCompletion(tenantId: string, projectId: string, executionId: number | null): void {
  try {
    storage()?.setItem(keyOf(tenantId, projectId), String(executionId));
  } catch {
    // A full storage: it is shown again.
  }
}

/** Run and restart call it: the next completion is told. */
export function rearmCompletion(tenantId: string, projectId: string): void {
  storage()?.removeItem(keyOf(tenantId, projectId));
}
