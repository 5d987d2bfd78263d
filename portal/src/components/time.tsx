import { now } from "../lib/clock";
import { formatFullTime, formatTime } from "../lib/format";

/** A time as people read it, in the reader's time zone. */
export function Time({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={formatFullTime(iso)}>
      {formatTime(iso, now())}
    </time>
  );
}
