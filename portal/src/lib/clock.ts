// The time as the server has it. What the portal shows of elapsed time is the
// difference between the server's stamps and now; a wrong clock on the user's
// machine would show it wrong.

/** Date headers have whole seconds, and take some time to arrive. */
const tolerated = 3_000;

let offset = 0;

/** Learns from an answer's Date header, where the browser lets it be read. */
export function learnTime(dateHeader: string | null, receivedAt = Date.now()): void {
  const server = dateHeader === null ? NaN : Date.parse(dateHeader);
  if (Number.isNaN(server)) return;
  const difference = server + 500 - receivedAt;
  offset = Math.abs(difference) > tolerated ? difference : 0;
}

/** Milliseconds since 1970, by the server's clock as far as it is known. */
export function now(): number {
  return Date.now() + offset;
}
