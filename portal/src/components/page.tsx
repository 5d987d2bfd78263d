import { useEffect, useRef, type ReactNode } from "react";
import { Link, useLocation } from "react-router";
import { sentenceOf } from "../lib/api";
import { Button } from "./button";
import { Notice } from "./notice";
import styles from "./ui.module.css";

interface Props {
  /** The page's heading, and the window's title. */
  title: string;
  crumbs?: { to: string; label: string }[];
  /** Beside the heading: the status, say. */
  beside?: ReactNode;
  below?: ReactNode;
  actions?: ReactNode;
}

// Whose heading had the focus last. The first page of a visit leaves it where
// the browser puts it.
let lastPath: string | null = null;
let hadFocus = false;

/** The heading of a page. It takes the focus when its page is navigated to. */
export function PageHeader({ title, crumbs = [], beside, below, actions }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  const { pathname } = useLocation();
  useEffect(() => {
    document.title = `${title} · Rekindle`;
  }, [title]);
  useEffect(() => {
    const navigated = lastPath !== null && lastPath !== pathname;
    lastPath = pathname;
    if (navigated) window.scrollTo(0, 0);
    // A page that has loaded has another heading than while it was loading; it
    // takes the focus only from one that is gone.
    if (navigated || (document.activeElement === document.body && hadFocus)) heading.current?.focus({ preventScroll: true });
    hadFocus = document.activeElement === heading.current;
  }, [pathname]);
  return (
    <div>
      {crumbs.length > 0 && (
        <nav className={styles.crumbs} aria-label="Breadcrumb">
          <ol>
            {crumbs.map((crumb) => (
              <li key={crumb.to}>
                <Link to={crumb.to}>{crumb.label}</Link>
              </li>
            ))}
          </ol>
        </nav>
      )}
      <div className={styles.header}>
        <div className={styles.headerText}>
          <div className={styles.headerLine}>
            <h1 ref={heading} tabIndex={-1}>
              {title}
            </h1>
            {beside}
          </div>
          {below}
        </div>
        {actions !== undefined && <div className={styles.row}>{actions}</div>}
      </div>
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p className={styles.loading} role="status">
      <span className={styles.spinner} aria-hidden="true" />
      Loading {what}…
    </p>
  );
}

/** In the place of what could not be loaded. */
export function LoadError({ what, error, onRetry }: { what: string; error: unknown; onRetry: () => void }) {
  return (
    <Notice tone="error" title={`Could not load ${what}`} actions={<Button onPress={onRetry}>Try again</Button>}>
      {sentenceOf(error)}
    </Notice>
  );
}
