import { formatClock } from "../lib/format";
import { staleAfter } from "../lib/polling";
import { useNow } from "./hooks";
import { Notice } from "./notice";

interface Props {
  /** When the last answer came, by this machine's clock. */
  updatedAt: number;
  /** The last question had no answer. */
  failed: boolean;
  running: boolean;
}

/** Says that a page shows what was known some time ago. */
export function StaleBanner({ updatedAt, failed, running }: Props) {
  const now = useNow(running, Date.now);
  const old = running && now - updatedAt > staleAfter;
  if (!failed && !old) return null;
  return (
    <Notice tone="warning" title={`Showing what was known at ${formatClock(updatedAt)}. Trying again…`}>
      {failed ? "The service does not answer at the moment. Runs go on without this page." : "The last answer is a while ago."}
    </Notice>
  );
}
