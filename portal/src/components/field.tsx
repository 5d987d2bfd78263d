import { useId, type ReactNode } from "react";
import styles from "./ui.module.css";

/** What a field's control needs to be tied to its label, hint and error. */
export interface Tied {
  id: string;
  "aria-invalid": boolean;
  "aria-describedby": string | undefined;
}

interface Props {
  label: string;
  hint?: ReactNode;
  error?: string | null;
  /** At the right of the hint: a count of characters, say. */
  aside?: ReactNode;
  children: (tied: Tied) => ReactNode;
}

/** A labelled control, with its hint and its error beside it. */
export function Field({ label, hint, error = null, aside, children }: Props) {
  const id = useId();
  const hasHint = hint !== undefined;
  const describedBy = [hasHint ? `${id}-hint` : "", error === null ? "" : `${id}-error`].filter(Boolean).join(" ");
  return (
    <div className={styles.field}>
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-invalid": error !== null, "aria-describedby": describedBy === "" ? undefined : describedBy })}
      {error !== null && (
        <p id={`${id}-error`} className={styles.fieldError}>
          {error}
        </p>
      )}
      {(hasHint || aside !== undefined) && (
        <div className={styles.fieldLine}>
          {hasHint && <span id={`${id}-hint`}>{hint}</span>}
          {aside !== undefined && <span>{aside}</span>}
        </div>
      )}
    </div>
  );
}
