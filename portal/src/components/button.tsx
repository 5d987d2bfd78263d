import { useId, useLayoutEffect, useRef, useState, type MouseEvent, type ReactNode } from "react";
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

/** Moves a tooltip to the left by as much as it would stick out of the page. */
function keepInside(tip: HTMLElement | null): void {
  if (tip === null) return;
  tip.style.translate = "";
  const { left, right } = tip.getBoundingClientRect();
  const out = right - (document.documentElement.clientWidth - 8);
  if (out > 0) tip.style.translate = `${-Math.min(out, left - 8)}px`;
}

/**
 * A button that stays where the focus is: busy or blocked it is aria-disabled,
 * not disabled, so that it can be reached and says why.
 */
export function Button({ children, kind = "plain", type = "button", busy = false, blocked = null, onPress }: Props) {
  const tip = useId();
  const [dismissed, setDismissed] = useState(false);
  const tipElement = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    if (blocked === null) return;
    const place = () => keepInside(tipElement.current);
    place();
    window.addEventListener("resize", place);
    return () => window.removeEventListener("resize", place);
  }, [blocked]);
  const off = busy !== false || blocked !== null;
  const press = (event: MouseEvent) => {
    if (off) event.preventDefault();
    else onPress?.();
  };
  const show = () => {
    setDismissed(false);
    keepInside(tipElement.current);
  };
  const button = (
    <button
      type={type}
      className={buttonClass(kind)}
      aria-disabled={off}
      aria-busy={busy !== false}
      aria-describedby={blocked === null ? undefined : tip}
      onClick={press}
      onFocus={show}
      onMouseEnter={show}
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
      <span ref={tipElement} role="tooltip" id={tip} className={`${styles.tip ?? ""} ${dismissed ? (styles.dismissed ?? "") : ""}`}>
        {blocked}
      </span>
    </span>
  );
}
