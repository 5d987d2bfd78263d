import type { ExecutionStatus, Outcome } from "../lib/projects";
import styles from "./ui.module.css";

/** The one vocabulary of statuses. */
export const statusLabel: Record<ExecutionStatus, string> = {
  pending: "Pending",
  running: "Running",
  completed: "Completed",
  failed: "Failed",
};

export function StatusBadge({ status }: { status: ExecutionStatus }) {
  return <span className={`${styles.badge ?? ""} ${styles[status] ?? ""}`}>{statusLabel[status]}</span>;
}

const outcomes: Record<Outcome, [label: string, status: ExecutionStatus]> = {
  completed: ["Completed", "completed"],
  failed: ["Failed", "failed"],
  timed_out: ["Timed out", "failed"],
  cancelled: ["Cancelled", "failed"],
};

/** How an attempt ended, in the colour of the status that it left. */
export function OutcomeBadge({ outcome }: { outcome: Outcome | null }) {
  const [label, status] = outcome === null ? (["Running", "running"] as const) : outcomes[outcome];
  return <span className={`${styles.badge ?? ""} ${styles[status] ?? ""}`}>{label}</span>;
}
