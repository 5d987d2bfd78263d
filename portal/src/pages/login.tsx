import { useEffect, useRef, useState, type SubmitEvent } from "react";
import { Navigate, useSearchParams } from "react-router";
import { announce } from "../components/announcer";
import { Button } from "../components/button";
import { Field } from "../components/field";
import { Notice } from "../components/notice";
import { Loading, PageHeader } from "../components/page";
import ui from "../components/ui.module.css";
import { ApiError, sentenceOf, sessions } from "../lib/api";
import { requestCode, signIn } from "../lib/auth";
import { formatCountdown } from "../lib/format";
import { safeNext, useSessionState, type EndReason } from "../lib/session";
import styles from "./login.module.css";

const farewells: Record<EndReason, string> = {
  expired: "Your session has ended. Sign in to go on where you were; nothing was sent again.",
  logout: "You have logged out.",
  "logout-unconfirmed":
    "You have logged out on this device. The service could not be told; there the session ends by itself when it is not used.",
};

/** A code that was asked for. */
interface Sent {
  slug: string;
  /** When the code ends, by this machine's clock. */
  endsAt: number;
}

export function LoginPage() {
  const { session, asking, ended } = useSessionState(sessions);
  const [query] = useSearchParams();
  const [slug, setSlug] = useState("");
  const [sent, setSent] = useState<Sent | null>(null);
  // When another code may be asked for, by this machine's clock.
  const [waitUntil, setWaitUntil] = useState(0);

  if (session !== null) return <Navigate to={safeNext(query.get("next"))} replace />;
  if (asking) return <Loading what="your session" />;
  return (
    <div className={styles.narrow}>
      <PageHeader title="Sign in" />
      {ended !== null && sent === null && <Notice tone="info">{farewells[ended]}</Notice>}
      <div className={ui.card}>
        {sent === null ? (
          <AskForm slug={slug} onSlug={setSlug} waitUntil={waitUntil} onWait={setWaitUntil} onSent={setSent} />
        ) : (
          <CodeForm key={sent.endsAt} sent={sent} waitUntil={waitUntil} onWait={setWaitUntil} onSent={setSent} onBack={() => setSent(null)} />
        )}
      </div>
    </div>
  );
}

/** Seconds until a time, every second; 0 when it has come. */
function useSecondsUntil(time: number): number {
  const [left, setLeft] = useState(() => secondsUntil(time));
  useEffect(() => {
    const tick = () => setLeft(secondsUntil(time));
    tick();
    const timer = setInterval(tick, 1000);
    return () => clearInterval(timer);
  }, [time]);
  return left;
}

const secondsUntil = (time: number) => Math.max(0, Math.ceil((time - Date.now()) / 1000));

interface Asking {
  waitUntil: number;
  onWait: (until: number) => void;
  onSent: (sent: Sent) => void;
}

/** Asking for a code: one request at a time. */
function useAsk({ onWait, onSent }: Asking) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const underWay = useRef(false);
  const ask = async (slug: string) => {
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    setError(null);
    try {
      const answer = await requestCode(slug);
      announce("If the account exists, a login code is on its way.");
      onSent({ slug, endsAt: Date.now() + answer.expires_in_seconds * 1000 });
    } catch (problem) {
      if (problem instanceof ApiError && problem.status === 429) onWait(Date.now() + (problem.retryAfter ?? 5) * 1000);
      setError(problem);
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  };
  return { ask, busy, error, clear: () => setError(null) };
}

function AskForm({ slug, onSlug, ...asking }: Asking & { slug: string; onSlug: (slug: string) => void }) {
  const { ask, busy, error, clear } = useAsk(asking);
  const wait = useSecondsUntil(asking.waitUntil);
  const [empty, setEmpty] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const onField = empty ? "Type the name of your account" : error instanceof ApiError && error.code === "login_slug_invalid" ? error.detail : null;

  useEffect(() => {
    if (onField !== null) input.current?.focus();
  }, [onField]);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (wait > 0) return;
    const typed = slug.trim().toLowerCase();
    setEmpty(typed === "");
    if (typed !== "") void ask(typed);
  };
  return (
    <form className={ui.stack} onSubmit={submit} noValidate>
      <p className={ui.soft}>We send a login code to the mail address of your account.</p>
      <Field label="Account name" error={onField}>
        {(tied) => (
          <input
            {...tied}
            ref={input}
            name="account"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            maxLength={63}
            value={slug}
            onChange={(event) => {
              onSlug(event.target.value);
              setEmpty(false);
              clear();
            }}
          />
        )}
      </Field>
      <AskProblem error={onField === null ? error : null} wait={wait} />
      <Button kind="primary" type="submit" busy={busy && "Sending the code…"} blocked={wait > 0 ? `Wait ${formatCountdown(wait)}` : null}>
        Send the code
      </Button>
    </form>
  );
}

/** Why no code was sent, and for how long none will be. */
function AskProblem({ error, wait }: { error: unknown; wait: number }) {
  const limited = error instanceof ApiError && error.status === 429;
  if (limited || wait > 0) {
    if (wait === 0) return <Notice tone="info">Another code can be sent now.</Notice>;
    return (
      <Notice tone="warning" title="Too many login codes were requested" silent>
        <span role="alert">Three are sent in an hour.</span> Another can be sent in{" "}
        <span role="timer" className={styles.timer}>{formatCountdown(wait)}</span>.
      </Notice>
    );
  }
  if (error === null) return null;
  return (
    <Notice tone="error" title="The code was not sent">
      {sentenceOf(error)}
    </Notice>
  );
}

function CodeForm({ sent, onBack, ...asking }: Asking & { sent: Sent; onBack: () => void }) {
  const again = useAsk(asking);
  const left = useSecondsUntil(sent.endsAt);
  const wait = useSecondsUntil(asking.waitUntil);
  const [code, setCode] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [malformed, setMalformed] = useState(false);
  const underWay = useRef(false);
  const input = useRef<HTMLInputElement>(null);

  useEffect(() => input.current?.focus(), []);

  const spent = error instanceof ApiError && error.code === "login_code_spent";
  const wrong = error instanceof ApiError && error.code === "login_code_wrong";
  const over = left === 0;
  const onField = malformed ? "The code has six digits" : wrong ? "The login code is wrong or has expired" : null;
  useEffect(() => {
    if (onField !== null) input.current?.focus();
  }, [onField, error]);

  const verify = async (digits: string) => {
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    setError(null);
    try {
      await signIn(sent.slug, digits);
      announce("You are signed in.");
    } catch (problem) {
      setError(problem);
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (spent) return;
    const digits = code.replace(/[\s-]/g, "");
    const good = /^[0-9]{6}$/.test(digits);
    setMalformed(!good);
    if (good) void verify(digits);
  };

  return (
    <form className={ui.stack} onSubmit={submit} noValidate>
      <p>
        If the account <strong>{sent.slug}</strong> exists, a login code is on its way to its mail address.{" "}
        {over ? (
          <span className={styles.over}>It has expired by now.</span>
        ) : (
          <span className={ui.soft}>
            It is good for <span role="timer" className={styles.timer}>{formatCountdown(left)}</span>.
          </span>
        )}
      </p>
      <Field label="Login code" hint="Six digits" error={onField}>
        {(tied) => (
          <input
            {...tied}
            ref={input}
            className={styles.code}
            name="code"
            inputMode="numeric"
            autoComplete="one-time-code"
            value={code}
            maxLength={12}
            onChange={(event) => {
              setCode(event.target.value);
              setMalformed(false);
            }}
          />
        )}
      </Field>
      {spent && (
        <Notice tone="error" title="Too many wrong login codes">
          This code is not accepted any more. Send another one.
        </Notice>
      )}
      {error !== null && !spent && !wrong && (
        <Notice tone="error" title="You are not signed in">
          {sentenceOf(error)}
        </Notice>
      )}
      <AskProblem error={again.error} wait={wait} />
      <Button kind="primary" type="submit" busy={busy && "Signing in…"} blocked={spent ? "Too many wrong login codes: send another one" : null}>
        Sign in
      </Button>
      <div className={styles.others}>
        <Button kind="quiet" onPress={onBack}>
          Back
        </Button>
        <Button
          kind="quiet"
          busy={again.busy && "Sending…"}
          blocked={wait > 0 ? `Wait ${formatCountdown(wait)}` : null}
          onPress={() => void again.ask(sent.slug)}
        >
          Send another code
        </Button>
      </div>
    </form>
  );
}
