import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { announce } from "../components/announcer";
import { StatusBadge } from "../components/badge";
import { Button, buttonClass } from "../components/button";
import { CancelDialog } from "../components/cancel";
import { Dialog } from "../components/dialog";
import { ExtendDialog } from "../components/extend";
import { useSession } from "../components/hooks";
import { RunNotice, type RunMessage } from "../components/message";
import { LoadError, Loading, PageHeader } from "../components/page";
import { DownloadButton, Situation } from "../components/situation";
import { StaleBanner } from "../components/stale";
import { StarterMessage, useStarter } from "../components/start";
import ui from "../components/ui.module.css";
import { ApiError } from "../lib/api";
import { hideCompletion, isCompletionHidden } from "../lib/completion";
import type { ProjectStatus } from "../lib/projects";
import { useLog, useStatus } from "../lib/queries";
import type { Verdict } from "../lib/rules";
import { ProjectNotFound } from "./notfound";
import styles from "./status.module.css";

/** A run as it goes, live. */
export function StatusPage({ projectId }: { projectId: string }) {
  const status = useStatus(projectId);
  if (status.error instanceof ApiError && [400, 404].includes(status.error.status)) return <ProjectNotFound />;
  const name = status.data?.name ?? projectId;
  return (
    <div className={ui.stack}>
      <PageHeader
        title={`Status of ${name}`}
        crumbs={[
          { to: "/projects", label: "Projects" },
          { to: `/projects/${projectId}`, label: name },
        ]}
        beside={status.data && <StatusBadge status={status.data.execution_status} />}
      />
      {status.data === undefined ? (
        status.isError ? (
          <LoadError what="the status" error={status.error} onRetry={() => void status.refetch()} />
        ) : (
          <Loading what="the status" />
        )
      ) : (
        <StatusView status={status.data} updatedAt={status.dataUpdatedAt} failed={status.isError} />
      )}
    </div>
  );
}

function StatusView({ status, updatedAt, failed }: { status: ProjectStatus; updatedAt: number; failed: boolean }) {
  const starter = useStarter(status.project_id);
  const [dialog, setDialog] = useState<"cancel" | "extend" | null>(null);
  const [message, setMessage] = useState<RunMessage | null>(null);
  useAnnouncedProgress(status);
  // The status says what the server would say; the rules need the whole project.
  const verdict: Verdict = { allowed: status.can_run || status.can_restart, reason: status.blocked_reason };
  const running = status.execution_status === "running";
  const close = () => setDialog(null);
  const finish = (outcome: RunMessage) => {
    close();
    setMessage(outcome);
  };
  return (
    <>
      <StaleBanner updatedAt={updatedAt} failed={failed} running={running} />
      <StarterMessage starter={starter} status={status.execution_status} attempt={status.attempt} />
      <RunNotice message={message} status={status} onDismiss={() => setMessage(null)} />
      <Situation live status={status} verdict={verdict} starter={starter} onCancel={() => setDialog("cancel")} onExtend={() => setDialog("extend")} />
      {status.attempt > 0 && <LogTail projectId={status.project_id} attempt={status.attempt} running={running} />}
      {dialog === "cancel" && <CancelDialog status={status} onClose={close} onDone={finish} />}
      {dialog === "extend" && <ExtendDialog status={status} onClose={close} onDone={finish} />}
      {status.execution_status === "completed" && <CompletionDialog key={status.execution_id} status={status} />}
    </>
  );
}

/** Tells screen readers of the ends, and of each quarter of the way. */
function useAnnouncedProgress(status: ProjectStatus): void {
  const { execution_status: state, execution_error: error } = status;
  const quarter = state === "running" ? Math.floor(status.progress.percent / 25) : 0;
  const last = useRef({ state, quarter });
  useEffect(() => {
    const before = last.current;
    last.current = { state, quarter };
    if (state !== before.state) {
      if (state === "failed") announce(`The run has failed: ${error ?? "no reason was given"}`);
      if (state === "completed") announce("The run has completed.");
    } else if (quarter > before.quarter) {
      announce(`${quarter * 25} percent done`);
    }
  }, [state, quarter, error]);
}

/** Said once a completed run's page is opened, until it is told not to. */
function CompletionDialog({ status }: { status: ProjectStatus }) {
  const tenantId = useSession()?.tenantId ?? "";
  const [open, setOpen] = useState(() => !isCompletionHidden(tenantId, status.project_id, status.execution_id));
  const [never, setNever] = useState(false);
  if (!open) return null;
  const close = () => {
    if (never) hideCompletion(tenantId, status.project_id, status.execution_id);
    setOpen(false);
  };
  return (
    <Dialog
      title="The project has completed"
      onClose={close}
      actions={
        <Button onPress={close}>
          Close
        </Button>
      }
    >
      <p>
        <strong>{status.name}</strong> is done, in attempt {status.attempt}. Its result is ready.
      </p>
      <DownloadButton projectId={status.project_id} label="Download now">
        <Link className={buttonClass("quiet")} to={`/projects/${status.project_id}`} onClick={close}>
          Open the project
        </Link>
      </DownloadButton>
      <label className={ui.check}>
        <input type="checkbox" checked={never} onChange={(event) => setNever(event.target.checked)} />
        Don’t show again
      </label>
    </Dialog>
  );
}

function LogTail({ projectId, attempt, running }: { projectId: string; attempt: number; running: boolean }) {
  const log = useLog(projectId, attempt, running);
  // What was written last comes after the run has ended.
  const { refetch } = log;
  const wasRunning = useRef(running);
  useEffect(() => {
    if (wasRunning.current && !running) void refetch();
    wasRunning.current = running;
  }, [running, refetch]);
  const empty = log.data?.stdout === "" && log.data.stderr === "";
  return (
    <section className={ui.card} aria-labelledby="log">
      <div className={styles.logHeader}>
        <h2 id="log">Log</h2>
        <span className={`${ui.soft ?? ""} ${ui.small ?? ""}`}>
          The last lines of attempt {attempt}
          {running && ", half a minute old at most"}
        </span>
      </div>
      {log.data === undefined ? (
        log.isError ? (
          <LoadError what="the log" error={log.error} onRetry={() => void log.refetch()} />
        ) : (
          <Loading what="the log" />
        )
      ) : empty ? (
        <p className={ui.soft}>{running ? "Nothing has been written yet." : "Nothing was written."}</p>
      ) : (
        <div className={styles.streams}>
          {log.data.stdout !== "" && <Stream title="Output" text={log.data.stdout} />}
          {log.data.stderr !== "" && <Stream title="Errors" text={log.data.stderr} />}
        </div>
      )}
    </section>
  );
}

/** The end of one stream. It follows what is written, unless somebody reads above. */
function Stream({ title, text }: { title: string; text: string }) {
  const pane = useRef<HTMLPreElement>(null);
  const follows = useRef(true);
  useEffect(() => {
    if (follows.current && pane.current !== null) pane.current.scrollTop = pane.current.scrollHeight;
  }, [text]);
  return (
    <div>
      <h3 className={styles.streamTitle}>{title}</h3>
      {/* It scrolls, so the keyboard must reach it. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <pre ref={pane} className={styles.stream} tabIndex={0} role="region" aria-label={title}
        onScroll={(event) => {
          const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
          follows.current = scrollHeight - scrollTop - clientHeight < 24;
        }}
      >
        {text}
      </pre>
    </div>
  );
}
