import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { ApiError, isDefinite, sentenceOf } from "../lib/api";
import { rearmCompletion } from "../lib/completion";
import { Presses } from "../lib/press";
import { restartProject, runProject, type ExecutionStatus } from "../lib/projects";
import { keys } from "../lib/queries";
import type { Verdict } from "../lib/rules";
import { announce } from "./announcer";
import { statusLabel } from "./badge";
import { Button } from "./button";
import { useSession } from "./hooks";
import { Notice, type Tone } from "./notice";
import styles from "./start.module.css";

type Operation = "run" | "restart";

interface Message {
  tone: Tone;
  title: string;
  text: string;
  /** The press that may be made again with its key; null after a definite answer. */
  retry: { operation: Operation; attempt: number } | null;
}

export interface Starter {
  busy: boolean;
  message: Message | null;
  press: (operation: Operation, attempt: number) => void;
  dismiss: () => void;
}

/**
 * Running and restarting a project: one press, one request, one key. When it has
 * begun, the Status page is opened.
 */
export function useStarter(projectId: string): Starter {
  const navigate = useNavigate();
  const client = useQueryClient();
  const tenantId = useSession()?.tenantId ?? "";
  const [presses] = useState(() => new Presses());
  const [busy, setBusy] = useState(false);
  const [message, setMessage] = useState<Message | null>(null);

  const refresh = () =>
    Promise.all([
      client.invalidateQueries({ queryKey: keys.project(projectId) }),
      client.invalidateQueries({ queryKey: keys.status(projectId) }),
      client.invalidateQueries({ queryKey: keys.lists }),
    ]);

  const begin = async (operation: Operation, attempt: number, sent: Promise<unknown>) => {
    setBusy(true);
    setMessage(null);
    announce(operation === "run" ? "Starting…" : "Restarting…");
    try {
      await sent;
      rearmCompletion(tenantId, projectId);
      announce(operation === "run" ? "The project has started." : "The project has been restarted.");
      // What was known before would say that it has failed.
      client.removeQueries({ queryKey: keys.status(projectId), type: "inactive" });
      await refresh();
      await navigate(`/projects/${projectId}/status`);
    } catch (error) {
      setMessage(messageOf(operation, attempt, error));
      await refresh();
    } finally {
      setBusy(false);
    }
  };

  return {
    busy,
    message,
    press: (operation, attempt) => {
      const call = operation === "run" ? runProject : restartProject;
      const sent = presses.press(`${operation} ${projectId} ${attempt}`, (key) =>
        call(projectId, { expectedAttempt: attempt, idempotencyKey: key }),
      );
      if (sent !== null) void begin(operation, attempt, sent);
    },
    dismiss: () => setMessage(null),
  };
}

function messageOf(operation: Operation, attempt: number, error: unknown): Message {
  const done = operation === "run" ? "run" : "restarted";
  if (!isDefinite(error)) {
    return {
      tone: "error",
      title: `It is not known whether the project was ${done}`,
      text: `${sentenceOf(error)} Trying again is safe: nothing starts twice.`,
      retry: { operation, attempt },
    };
  }
  if (error instanceof ApiError && error.status === 409) {
    return {
      tone: "warning",
      title: "The project has changed since this page showed it",
      text: `${presentState(error)} Nothing was started by you. The page shows it as it is now.`,
      retry: null,
    };
  }
  const title = error instanceof ApiError && error.code === "launch_refused" ? "The run has failed at its start" : `The project was not ${done}`;
  return { tone: "error", title, text: sentenceOf(error), retry: null };
}

function presentState(error: ApiError): string {
  const { attempt, status } = error.fields;
  if (typeof attempt !== "number" || typeof status !== "string") return `${error.detail}.`;
  const label = (statusLabel as Partial<Record<string, string>>)[status]?.toLowerCase() ?? status;
  return `It is at attempt ${attempt} now, with the status ${label}.`;
}

/** What became of the last press, until it is dismissed or pressed again. */
export function StarterMessage({ starter, status, attempt }: { starter: Starter; status: ExecutionStatus; attempt: number }) {
  const { message } = starter;
  if (message === null) return null;
  const { retry } = message;
  // Meanwhile the page may have learnt that it did begin.
  const open = retry !== null && retry.attempt === attempt && (status === "failed" || status === "pending");
  if (retry !== null && !open) {
    return (
      <Notice tone="info" title={`The project is at attempt ${attempt} now`} actions={<Button onPress={starter.dismiss}>Dismiss</Button>}>
        The answer to your press was lost on its way. The page shows the project as it is.
      </Notice>
    );
  }
  return (
    <Notice
      tone={message.tone}
      title={message.title}
      actions={
        <>
          {retry !== null && (
            <Button busy={starter.busy && "Trying again…"} onPress={() => starter.press(retry.operation, retry.attempt)}>
              Try again
            </Button>
          )}
          <Button onPress={starter.dismiss}>Dismiss</Button>
        </>
      }
    >
      {message.text}
    </Notice>
  );
}

interface ButtonProps {
  status: ExecutionStatus;
  attempt: number;
  verdict: Verdict;
  starter: Starter;
}

// The signs of the buttons' names, drawn: fonts have them in colours of their
// own, or not at all.
function RestartIcon() {
  return (
    <svg className={styles.icon} viewBox="0 0 24 24" aria-hidden="true">
      <path d="M4.500 10.500A8 8 0 0 1 19 8M19.500 13.500A8 8 0 0 1 5 16" fill="none" stroke="currentcolor" strokeWidth="2.500" strokeLinecap="round" />
      <path d="M20.500 3v6.500H14zM3.500 21v-6.500H10z" fill="currentcolor" />
    </svg>
  );
}

function RunIcon() {
  return (
    <svg className={styles.icon} viewBox="0 0 24 24" aria-hidden="true">
      <path d="M6 3.500v17l15-8.500z" fill="currentcolor" />
    </svg>
  );
}

/** Run for a pending project, restart for a failed one, and nothing for others. */
export function StartButton({ status, attempt, verdict, starter }: ButtonProps) {
  const blocked = verdict.allowed ? null : verdict.reason;
  if (status === "failed") {
    return (
      <Button kind="restart" busy={starter.busy && "Restarting…"} blocked={blocked} onPress={() => starter.press("restart", attempt)}>
        <RestartIcon />
        <span className={styles.label}>
          <span className="visually-hidden">🔄</span> RESTART PROJECT
        </span>
      </Button>
    );
  }
  if (status === "pending") {
    return (
      <Button kind="run" busy={starter.busy && "Starting…"} blocked={blocked} onPress={() => starter.press("run", attempt)}>
        <RunIcon />
        <span className={styles.label}>
          <span className="visually-hidden">▶</span> RUN PROJECT
        </span>
      </Button>
    );
  }
  return null;
}
