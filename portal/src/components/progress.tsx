import type { Project } from "../lib/projects";
import styles from "./ui.module.css";

/** How far a run is, and what it is doing. */
export function Progress({ progress, claimed }: { progress: Project["progress"]; claimed: boolean }) {
  const doing = progress.message === "" ? (claimed ? "Working" : "Waiting for a machine to take it") : progress.message;
  return (
    <div className={styles.progress}>
      <div className={styles.progressLine}>
        <span>{doing}</span>
        <span className={styles.percent}>{progress.percent}%</span>
      </div>
      <progress aria-label="Progress" value={progress.percent} max={100} />
    </div>
  );
}
