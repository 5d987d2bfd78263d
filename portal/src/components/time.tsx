import { now } from "../lib/clock";
import { formatFullTime, formatMoment, formatTime } from "../lib/format";

interface Props {
  iso: string;
  /** As in a table, within a sentence, or in full, to be passed on. */
  form?: "short" | "sentence" | "full";
}

/** A time as people read it, in the reader's time zone. */
export function Time({ iso, form = "short" }: Props) {
  return (
    <time dateTime={iso} title={formatFullTime(iso)}>
      {form === "full" ? formatFullTime(iso) : form === "sentence" ? formatMoment(iso, now()) : formatTime(iso, now())}
    </time>
  );
}
