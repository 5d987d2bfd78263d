import { useId, useLayoutEffect, useRef, type ReactNode, type SubmitEvent } from "react";
import styles from "./ui.module.css";

interface Props {
  title: string;
  children: ReactNode;
  actions: ReactNode;
  /** Escape, too; while an action is under way it does nothing. */
  onClose: () => void;
  busy?: boolean;
  /** Makes it a form, which Enter sends too. */
  onSubmit?: () => void;
}

/**
 * A modal dialog for as long as it is rendered. The browser gives the focus to
 * its first control, keeps it inside, and gives it back to where it was. So the
 * first of the actions is the one that does no harm. Where that is gone by then,
 * the page's heading has the focus.
 */
export function Dialog({ title, children, actions, onClose, busy = false, onSubmit }: Props) {
  const heading = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  // A layout effect, for it is undone while the element is still in the document:
  // closed after that, a dialog has no focus to give back.
  useLayoutEffect(() => {
    const element = dialog.current;
    if (element === null) return;
    if (!element.open) element.showModal();
    return () => {
      element.close();
      if (document.activeElement === document.body) document.querySelector("h1")?.focus({ preventScroll: true });
    };
  }, []);
  const content = (
    <>
      <h2 id={heading}>{title}</h2>
      {children}
      <div className={styles.dialogActions}>{actions}</div>
    </>
  );
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    onSubmit?.();
  };
  return (
    <dialog
      ref={dialog}
      className={styles.dialog}
      aria-labelledby={heading}
      onCancel={(event) => {
        // React decides when it goes.
        event.preventDefault();
        if (!busy) onClose();
      }}
    >
      {onSubmit === undefined ? (
        <div className={styles.dialogBody}>{content}</div>
      ) : (
        <form className={styles.dialogBody} noValidate onSubmit={submit}>
          {content}
        </form>
      )}
    </dialog>
  );
}
