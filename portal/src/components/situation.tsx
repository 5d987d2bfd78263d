import { useState, type ReactNode } from "react";
import { Link } from "react-router";
import { ApiError, sentenceOf } from "../lib/api";
import { formatHours } from "../lib/extension";
import { between, formatDuration, formatSize } from "../lib/format";
import { getDownload, type ProjectStatus } from "../lib/projects";
import type { Verdict } from "../lib/rules";
import { announce } from "./announcer";
import { Button, buttonClass } from "./button";
import { TimeOver, TimeWarning } from "./extend";
import { useNow } from "./hooks";
import { Notice } from "./notice";
import { Progress } from "./progress";
import styles from "./situation.module.css";
import { StartButton, type Starter } from "./start";
import { Swept } from "./swept";
import { Time } from "./time";
import ui from "./ui.module.css";

interface Props {
  status: ProjectStatus;
  verdict: Verdict;
  starter: Starter;
  onCancel: () => void;
  onExtend: () => void;
  /** The Status page shows the heartbeat besides, and no link to itself. */
  live?: boolean;
}

/** How a project fares, and the one thing to do about it. */
export function Situation(props: Props) {
  const { status } = props;
  const panel = `${styles.panel ?? ""} ${styles[status.execution_status] ?? ""}`;
  return (
    <section className={panel} aria-labelledby="situation">
      {status.execution_status === "pending" && <Pending {...props} />}
      {status.execution_status === "running" && <Running {...props} />}
      {status.execution_status === "failed" && <Failed {...props} />}
      {status.execution_status === "completed" && <Completed {...props} />}
    </section>
  );
}

function Blocked({ verdict, status, what }: { verdict: Verdict; status: ProjectStatus; what: string }) {
  if (verdict.allowed) return null;
  const mend = mendOf(status);
  return (
    <Notice tone="warning" title={what} silent actions={mend}>
      {verdict.reason}.
    </Notice>
  );
}

/** Where what blocks a start can be mended. */
function mendOf(status: ProjectStatus) {
  const project = `/projects/${status.project_id}`;
  if (status.blocked_code === "field_missing") {
    return (
      <Link className={buttonClass()} to={`${project}/edit`}>
        Edit the project
      </Link>
    );
  }
  if (status.blocked_code?.startsWith("activation_code_") === true) {
    return (
      <Link className={buttonClass()} to={`${project}#activation`}>
        Assign a code
      </Link>
    );
  }
  return undefined;
}

function Pending({ status, verdict, starter }: Props) {
  return (
    <>
      <h2 id="situation">{verdict.allowed ? "Ready to run" : "Not ready to run yet"}</h2>
      {verdict.allowed && <p className={ui.soft}>It has not run yet. A run goes on when you close this page.</p>}
      <Blocked verdict={verdict} status={status} what="Before it can run" />
      <div>
        <StartButton status={status.execution_status} attempt={status.attempt} verdict={verdict} starter={starter} />
      </div>
    </>
  );
}

function Running({ status, onCancel, onExtend, live = false }: Props) {
  const now = useNow(true);
  const elapsed = between(status.execution_started_at, now);
  const { times_out_at: end, execution_extension_seconds: extension } = status;
  const left = end === null ? null : Date.parse(end) - now;
  const silent = between(status.heartbeat_at, now);
  return (
    <>
      <h2 id="situation">Running, attempt {status.attempt}</h2>
      {end !== null && left !== null && left > 0 && status.can_extend && <TimeWarning key={status.execution_id} at={end} left={left} onExtend={onExtend} />}
      {left !== null && left <= 0 && <TimeOver />}
      <Progress progress={status.progress} claimed={status.claimed_at !== null} />
      <dl className={styles.facts}>
        <div>
          <dt>Elapsed</dt>
          <dd>{elapsed === null ? "–" : formatDuration(elapsed)}</dd>
        </div>
        <div>
          <dt>Started</dt>
          <dd>{status.execution_started_at === null ? "–" : <Time iso={status.execution_started_at} />}</dd>
        </div>
        {live && (
          <div>
            <dt>Last heartbeat</dt>
            <dd>{silent === null ? "None yet" : `${formatDuration(silent)} ago`}</dd>
          </div>
        )}
        <div>
          <dt>Times out</dt>
          <dd>
            {end === null || left === null ? (
              "–"
            ) : left > 0 ? (
              <>
                in {formatDuration(left)} (<Time iso={end} />)
              </>
            ) : (
              <Time iso={end} />
            )}
          </dd>
        </div>
        {extension !== null && (
          <div>
            <dt>More time</dt>
            <dd>Extended by {formatHours(extension)}</dd>
          </div>
        )}
      </dl>
      <div className={ui.row}>
        {!live && (
          <Link className={buttonClass("primary")} to={`/projects/${status.project_id}/status`}>
            Watch the run
          </Link>
        )}
        <Button onPress={onCancel}>Cancel run</Button>
      </div>
    </>
  );
}

/** What happened, when, and what to do. */
function Failed({ status, verdict, starter, live = false }: Props) {
  const attempt = status.attempts.find((a) => a.attempt === status.attempt);
  const outcome = attempt?.outcome ?? "failed";
  const silent = attempt?.swept?.silent === true;
  const unheard = attempt !== undefined && attempt.swept !== null && attempt.heartbeat_at === null;
  const titles = { timed_out: silent ? "The last run fell silent" : "The last run took too long", cancelled: "The last run was cancelled", failed: "The last run failed", completed: "The last run failed" };
  const todo = {
    timed_out: silent
      ? "It seems that its machine was lost. Restart it."
      : unheard
        ? "It seems that no machine has worked on it. Restart it."
        : "It was ended at its time limit. Restart it, with fewer or smaller objectives if it keeps taking too long.",
    cancelled: "Restart it when it is to run after all.",
    failed: "Mend what the message names, if it is in the project’s texts, and restart it.",
    completed: "Restart it.",
  };
  return (
    <>
      <h2 id="situation">{titles[outcome]}</h2>
      {outcome !== "cancelled" && <p className={styles.error}>{status.execution_error ?? "No reason was given."}</p>}
      {attempt !== undefined && <Swept attempt={attempt} />}
      <dl className={styles.facts}>
        <End status={status} lasted="After" />
        {status.progress.percent > 0 && (
          <div>
            <dt>Got to</dt>
            <dd>
              {status.progress.percent}%{status.progress.message !== "" && `, ${status.progress.message}`}
            </dd>
          </div>
        )}
      </dl>
      {verdict.allowed && <p className={styles.todo}>{todo[outcome]}</p>}
      <Blocked verdict={verdict} status={status} what="Before it can be restarted" />
      <div className={ui.row}>
        <StartButton status={status.execution_status} attempt={status.attempt} verdict={verdict} starter={starter} />
        {!live && (
          <Link className={buttonClass("quiet")} to={`/projects/${status.project_id}/status`}>
            Show the log
          </Link>
        )}
        {live && (
          <Link className={buttonClass("quiet")} to={`/projects/${status.project_id}/edit`}>
            Edit the project
          </Link>
        )}
      </div>
    </>
  );
}

/** When a run ended, and how long it lasted. */
function End({ status, lasted }: { status: Props["status"]; lasted: string }) {
  const length = between(status.execution_started_at, status.execution_completed_at);
  return (
    <>
      <div>
        <dt>Ended</dt>
        <dd>{status.execution_completed_at === null ? "–" : <Time iso={status.execution_completed_at} />}</dd>
      </div>
      <div>
        <dt>{lasted}</dt>
        <dd>{length === null ? "–" : formatDuration(length)}</dd>
      </div>
      <div>
        <dt>Attempt</dt>
        <dd>{status.attempt}</dd>
      </div>
    </>
  );
}

function Completed({ status, live = false }: Props) {
  return (
    <>
      <h2 id="situation">Completed</h2>
      <dl className={styles.facts}>
        <End status={status} lasted="Took" />
      </dl>
      <DownloadButton projectId={status.project_id} label="Download the result">
        {!live && (
          <Link className={buttonClass("quiet")} to={`/projects/${status.project_id}/status`}>
            Show the log
          </Link>
        )}
      </DownloadButton>
    </>
  );
}

/** Asks for a link, and follows it: it is good for some minutes alone. */
export function DownloadButton({ projectId, label, children }: { projectId: string; label: string; children?: ReactNode }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [begun, setBegun] = useState<string | null>(null);
  const download = async () => {
    setBusy(true);
    setError(null);
    setBegun(null);
    try {
      const link = await getDownload(projectId);
      const url = new URL(link.url, window.location.href);
      if (url.protocol !== "https:" && url.protocol !== "http:") throw new Error("a link of another kind");
      const anchor = document.createElement("a");
      anchor.href = url.href;
      anchor.download = link.name;
      anchor.rel = "noreferrer";
      anchor.click();
      const said = `${link.name}, ${formatSize(link.size)}`;
      setBegun(said);
      announce(`The download has begun: ${said}`);
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      {error !== null && (
        <Notice
          tone="error"
          title="There is no download"
          {...(error instanceof ApiError && error.status < 500 ? {} : { actions: <Button onPress={() => void download()}>Try again</Button> })}
        >
          {sentenceOf(error)}
        </Notice>
      )}
      <div className={ui.row}>
        <Button kind="primary" busy={busy && "Preparing…"} onPress={() => void download()}>
          {label}
        </Button>
        {children}
        {begun !== null && <span className={ui.soft}>{begun}</span>}
      </div>
    </>
  );
}
