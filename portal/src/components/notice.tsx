import type { ReactNode } from "react";
import styles from "./ui.module.css";

export type Tone = "error" | "warning" | "info" | "success";

const tones: Record<Tone, string | undefined> = {
  error: styles.noticeError,
  warning: styles.noticeWarning,
  info: styles.noticeInfo,
  success: styles.noticeSuccess,
};

interface Props {
  tone: Tone;
  title?: string;
  children?: ReactNode;
  actions?: ReactNode;
  /** Said at once (errors), said when there is a pause (the rest), or not at all. */
  silent?: boolean;
}

/** A message on the page, where the user looks. */
export function Notice({ tone, title, children, actions, silent = false }: Props) {
  const role = silent ? undefined : tone === "error" ? "alert" : "status";
  return (
    <div className={`${styles.notice ?? ""} ${tones[tone] ?? ""}`} role={role}>
      <div className={styles.noticeText}>
        {title !== undefined && <strong>{title}</strong>}
        {children}
      </div>
      {actions !== undefined && <div className={styles.noticeActions}>{actions}</div>}
    </div>
  );
}
