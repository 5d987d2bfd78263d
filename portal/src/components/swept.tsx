import { formatHours } from "../lib/extension";
import type { Attempt } from "../lib/projects";
import styles from "./swept.module.css";
import { Time } from "./time";

/** Which sweep failed an attempt, when and why; nothing for one that ended otherwise. */
export function Swept({ attempt }: { attempt: Attempt }) {
  const { swept, started_at: started, heartbeat_at: last, extension_seconds: extension } = attempt;
  if (swept === null) return null;
  const { at, cutoff } = swept;
  return (
    <div className={styles.swept}>
      <p>
        Failed by the hourly check{at !== null && <> on <Time form="full" iso={at} /></>}
        {swept.silent ? (
          <>
            {last !== null && <>, because its last sign of life had come on <Time form="full" iso={last} /></>}
            {cutoff !== null && <>: before <Time form="full" iso={cutoff} /></>}.
            {started !== null && <> It had been running since <Time form="full" iso={started} />.</>}
          </>
        ) : (
          <>
            , because it had been running {started !== null && <>since <Time form="full" iso={started} />, </>}longer than allowed
            {extension !== null && `, even with ${formatHours(extension)} more`}
            {cutoff !== null && <>: it had started before <Time form="full" iso={cutoff} /></>}.{" "}
            {last === null ? "No sign of life ever came." : <>Last sign of life: <Time form="full" iso={last} />.</>}
          </>
        )}
      </p>
      <p>
        For support: sweep <code className={styles.id}>{swept.sweep_id}</code>
      </p>
    </div>
  );
}
