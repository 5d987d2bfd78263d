import { useId, useState, type MouseEvent, type ReactNode } from "react";
import styles from "./ui.module.css";

export type ButtonKind = "plain" | "primary" | "danger" | "run" | "restart" | "quiet" | "dangerQuiet";

const classes: Record<ButtonKind, string> = {
  plain: "",
  primary: styles.primary ?? "",
  danger: styles.danger ?? "",
  run: styles.run ?? "",
  restart: styles.restart ?? "",
  quiet: styles.quiet ?? "",
  dangerQuiet: `${styles.quiet ?? ""} ${styles.dangerQuiet ?? ""}`,
};

export function buttonClass(kind: ButtonKind = "plain"): string {
  return `${styles.button ?? ""} ${classes[kind]}`;
}

interface Props {
  children: ReactNode;
  kind?: ButtonKind;
  type?: "button" | "submit";
  /** What it says while its action is under way; then it can't be pressed. */
  busy?: string | false;
  /** Why it can't be pressed now; null if it can. */
  blocked?: string | null;
  onPress?: () => void;
}

/**
 * A button that stays where the focus is: busy or blocked it is aria-disabled,
 * not disabled, so that it can be reached and says why.
 */
export function Button({ children, kind = "plain", type = "button", busy = false, blocked = null, onPress }: Props) {
  const tip = useId();
  const [dismissed, setDismissed] = useState(false);
  const off = busy !== false || blocked !== null;
  const press = (event: MouseEvent) => {
    if (off) event.preventDefault();
    else onPress?.();
  };
  const button = (
    <button
      type={type}
      className={buttonClass(kind)}
      aria-disabled={off}
      aria-busy={busy !== false}
      aria-describedby={blocked === null ? undefined : tip}
      onClick={press}
      onFocus={() => setDismissed(false)}
      onMouseEnter={() => setDismissed(false)}
      onKeyDown={(event) => {
        if (event.key === "Escape") setDismissed(true);
      }}
    >
      {busy === false ? (
        children
      ) : (
        <>
          <span className={styles.spinner} aria-hidden="true" />
          {busy}
        </>
      )}
    </button>
  );
  if (blocked === null) return button;
  return (
    <span className={styles.tipHolder}>
      {button}
      <span role="tooltip" id={tip} className={`${styles.tip ?? ""} ${dismissed ? (styles.dismissed ?? "") : ""}`}>
        {blocked}
      </span>
    </span>
  );
}
