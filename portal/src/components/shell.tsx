import { useEffect, useState } from "react";
import { Link, Navigate, Outlet, useLocation } from "react-router";
import { sessions } from "../lib/api";
import { signOut } from "../lib/auth";
import { useSessionState } from "../lib/session";
import { Announcer } from "./announcer";
import { Button } from "./button";
import { Loading } from "./page";
import styles from "./shell.module.css";

export function Logo() {
  return (
    <svg className={styles.logo} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#1c2534" />
      <path
        d="M16.600 5c.6 3.700-1.100 5.600-3.200 7.900C11.500 14.900 9.500 17 9.500 20.200a6.500 6.500 0 0 0 13 0c0-2.500-1.100-4.300-2.200-5.900-.3 1.300-1 2.200-2 2.700.7-4.500-.2-9-1.700-12z"
        fill="#fb8b24"
      />
    </svg>
  );
}

/**
 * Gives the focus to the page's heading when the element that had it goes, as a
 * button does whose work is done. Otherwise it would be at the document's start.
 */
function useKeptFocus(): void {
  useEffect(() => {
    let last: Element | null = null;
    const remember = (event: FocusEvent) => {
      last = event.target instanceof Element ? event.target : null;
    };
    const observer = new MutationObserver(() => {
      if (last === null || last.isConnected || document.activeElement !== document.body) return;
      last = null;
      document.querySelector("h1")?.focus({ preventScroll: true });
    });
    document.addEventListener("focusin", remember);
    observer.observe(document.body, { childList: true, subtree: true });
    return () => {
      document.removeEventListener("focusin", remember);
      observer.disconnect();
    };
  }, []);
}

/** What is around every page: the header, the main part, the live region. */
export function Shell() {
  const { session } = useSessionState(sessions);
  const [leaving, setLeaving] = useState(false);
  useKeptFocus();
  const leave = async () => {
    setLeaving(true);
    await signOut();
    setLeaving(false);
  };
  return (
    <>
      <a className={styles.skip} href="#main">
        Skip to the content
      </a>
      <header className={styles.top}>
        <div className={styles.bar}>
          <Link className={styles.brand} to="/projects">
            <Logo />
            <span className={session === null ? undefined : styles.brandName}>Rekindle</span>
          </Link>
          {session !== null && (
            <div className={styles.who}>
              <span className={styles.tenant}>{session.tenantName}</span>
              <Button busy={leaving && "Logging out…"} onPress={() => void leave()}>
                Log out
              </Button>
            </div>
          )}
        </div>
      </header>
      <main id="main" tabIndex={-1} className={styles.main}>
        <Outlet />
      </main>
      <Announcer />
    </>
  );
}

/** Leads whoever is not signed in to the login, and back to this page after it. */
export function SignedIn() {
  const { session, asking, ended } = useSessionState(sessions);
  const { pathname, search } = useLocation();
  if (session !== null) return <Outlet />;
  if (asking) return <Loading what="your session" />;
  const out = ended === "logout" || ended === "logout-unconfirmed";
  return <Navigate to={out ? "/login" : `/login?next=${encodeURIComponent(pathname + search)}`} replace />;
}
