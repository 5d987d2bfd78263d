import { formatHours } from "../lib/extension";
import { between, formatDuration } from "../lib/format";
import type { Attempt } from "../lib/projects";
import styles from "./attempts.module.css";
import { OutcomeBadge } from "./badge";
import { useNow } from "./hooks";
import { Swept } from "./swept";
import { Time } from "./time";
import ui from "./ui.module.css";

/** The attempts that the project remembers, newest first. */
export function Attempts({ attempts }: { attempts: Attempt[] }) {
  const now = useNow(attempts.some((a) => a.outcome === null));
  if (attempts.length === 0) return <p className={ui.soft}>It has not run yet.</p>;
  return (
    <table className={styles.table}>
      <caption className="visually-hidden">Attempts, newest first</caption>
      <thead>
        <tr>
          <th scope="col">Attempt</th>
          <th scope="col">Outcome</th>
          <th scope="col">Started</th>
          <th scope="col">Duration</th>
          <th scope="col">What it said</th>
        </tr>
      </thead>
      <tbody>
        {attempts.map((a) => {
          const length = between(a.started_at, a.outcome === null ? now : a.completed_at);
          return (
            <tr key={a.execution_id}>
              <th scope="row">
                <span className={styles.word}>Attempt </span>
                {a.attempt}
              </th>
              <td data-label="Outcome">
                <OutcomeBadge outcome={a.outcome} />
              </td>
              <td data-label="Started">{a.started_at === null ? "–" : <Time iso={a.started_at} />}</td>
              <td data-label="Duration">
                <div>
                  {length === null ? "–" : formatDuration(length)}
                  {a.extension_seconds !== null && <p className={styles.extended}>Extended by {formatHours(a.extension_seconds)}</p>}
                </div>
              </td>
              <td data-label="What it said">
                <div className={styles.said}>
                  {a.error === null ? <span className={ui.soft}>–</span> : <span className={styles.error}>{a.error}</span>}
                  {a.late_result !== null && (
                    <p className={styles.late}>
                      A result came late, <Time iso={a.late_result.received_at} />, and changed nothing:{" "}
                      <OutcomeBadge outcome={a.late_result.outcome} />
                      {a.late_result.error !== null && <span className={styles.error}> {a.late_result.error}</span>}
                    </p>
                  )}
                </div>
                {a.swept !== null && (
                  <div className={styles.swept}>
                    <Swept attempt={a} />
                  </div>
                )}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
