import { useSyncExternalStore } from "react";

let text = "";
let turn = 0;
const listeners = new Set<() => void>();

/** Says something to screen readers, without moving the focus. */
export function announce(message: string): void {
  // The same words twice are two announcements: a space tells them apart.
  turn++;
  text = turn % 2 === 0 ? message : `${message}\u00a0`;
  for (const listener of [...listeners]) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The one live region of the portal. */
export function Announcer() {
  const message = useSyncExternalStore(subscribe, () => text);
  return (
    <div className="visually-hidden" role="status" aria-live="polite">
      {message}
    </div>
  );
}
