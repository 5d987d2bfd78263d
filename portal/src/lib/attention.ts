// Whether anybody looks, and whether there is a network.

let hiddenSince: number | null = null;
let offlineSince: number | null = null;

function note(): void {
  hiddenSince = document.visibilityState === "hidden" ? (hiddenSince ?? Date.now()) : null;
  offlineSince = navigator.onLine ? null : (offlineSince ?? Date.now());
}

note();
document.addEventListener("visibilitychange", note);
window.addEventListener("online", note);
window.addEventListener("offline", note);

// A tab that was hidden a moment ago is hidden for one millisecond at least.
const since = (start: number | null) => (start === null ? 0 : Math.max(1, Date.now() - start));

/** For how long the tab has been hidden and the browser offline, in milliseconds; 0 if it is not. */
export function inattention(): { hiddenFor: number; offlineFor: number } {
  return { hiddenFor: since(hiddenSince), offlineFor: since(offlineSince) };
}
