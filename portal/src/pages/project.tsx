import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, type SubmitEvent } from "react";
import { Link, useLocation, useNavigate } from "react-router";
import { announce } from "../components/announcer";
import { Attempts } from "../components/attempts";
import { StatusBadge } from "../components/badge";
import { Button, buttonClass } from "../components/button";
import { CancelDialog } from "../components/cancel";
import { Dialog } from "../components/dialog";
import { ExtendDialog } from "../components/extend";
import { Field } from "../components/field";
import { RunNotice, type RunMessage } from "../components/message";
import { Notice } from "../components/notice";
import { LoadError, Loading, PageHeader } from "../components/page";
import { Situation } from "../components/situation";
import { StaleBanner } from "../components/stale";
import { StarterMessage, useStarter } from "../components/start";
import { Time } from "../components/time";
import ui from "../components/ui.module.css";
import { ApiError, sentenceOf } from "../lib/api";
import { assignActivationCode, deleteProject, type Project } from "../lib/projects";
import { keys, useAccount, useProject } from "../lib/queries";
import { canRestartProject, canRunProject, type Verdict } from "../lib/rules";
import { ProjectNotFound } from "./notfound";
import styles from "./project.module.css";
import type { ListState } from "./projects";

export function ProjectPage({ projectId }: { projectId: string }) {
  const project = useProject(projectId);
  if (project.error instanceof ApiError && [400, 404].includes(project.error.status)) return <ProjectNotFound />;
  if (project.data === undefined) {
    return (
      <div className={ui.stack}>
        <PageHeader title="Project" crumbs={[{ to: "/projects", label: "Projects" }]} />
        {project.isError ? (
          <LoadError what="the project" error={project.error} onRetry={() => void project.refetch()} />
        ) : (
          <Loading what="the project" />
        )}
      </div>
    );
  }
  return <ProjectView project={project.data} updatedAt={project.dataUpdatedAt} failed={project.isError} />;
}

/**
 * Whether the button that the status shows may be pressed. The portal's rules
 * and the server's word must both allow it; the server's is the newer one where
 * they differ.
 */
function useVerdict(project: Project, updatedAt: number): Verdict {
  const account = useAccount();
  const rule = project.execution_status === "failed" ? canRestartProject : canRunProject;
  const own = rule({ ...project, subscription_state: account.data?.subscription_state });
  const serverAllows = project.can_run || project.can_restart;
  // The account may have changed since it was read; once for each new answer.
  const { refetch, isFetching, dataUpdatedAt, errorUpdatedAt } = account;
  const outdated = own.allowed !== serverAllows && !isFetching && Math.max(dataUpdatedAt, errorUpdatedAt) < updatedAt;
  useEffect(() => {
    if (outdated) void refetch();
  }, [outdated, refetch]);
  if (own.allowed && !serverAllows) return { allowed: false, reason: project.blocked_reason };
  return own;
}

function ProjectView({ project, updatedAt, failed }: { project: Project; updatedAt: number; failed: boolean }) {
  const id = project.project_id;
  const starter = useStarter(id);
  const verdict = useVerdict(project, updatedAt);
  const [dialog, setDialog] = useState<"cancel" | "extend" | "delete" | null>(null);
  const [message, setMessage] = useState<RunMessage | null>(null);
  const running = project.execution_status === "running";
  const close = () => setDialog(null);
  const finish = (outcome: RunMessage) => {
    close();
    setMessage(outcome);
  };
  return (
    <div className={ui.stack}>
      <PageHeader
        title={project.name === "" ? id : project.name}
        crumbs={[{ to: "/projects", label: "Projects" }]}
        beside={<StatusBadge status={project.execution_status} />}
        below={<p className={`${ui.soft ?? ""} ${ui.small ?? ""}`}>{id}</p>}
        actions={
          <>
            {!running && (
              <Link className={buttonClass()} to={`/projects/${id}/edit`}>
                Edit
              </Link>
            )}
            <Button kind="dangerQuiet" blocked={running ? "The project is running: deleting is possible once it has ended" : null} onPress={() => setDialog("delete")}>
              Delete
            </Button>
          </>
        }
      />
      <StaleBanner updatedAt={updatedAt} failed={failed} running={running} />
      <StarterMessage starter={starter} status={project.execution_status} attempt={project.attempt} />
      <RunNotice message={message} status={project} onDismiss={() => setMessage(null)} />
      <Situation status={project} verdict={verdict} starter={starter} onCancel={() => setDialog("cancel")} onExtend={() => setDialog("extend")} />
      <div className={styles.columns}>
        <section className={ui.card} aria-labelledby="about">
          <h2 id="about">What it is</h2>
          <dl className={styles.texts}>
            <dt>Description</dt>
            <dd>{project.description === "" ? <em className={ui.soft}>None yet</em> : project.description}</dd>
            <dt>Objectives</dt>
            <dd>{project.objectives === "" ? <em className={ui.soft}>None yet</em> : project.objectives}</dd>
            <dt>Created</dt>
            <dd>{project.created_at === null ? "–" : <Time iso={project.created_at} />}</dd>
          </dl>
        </section>
        <Activation project={project} />
      </div>
      <section className={ui.card} aria-labelledby="attempts">
        <h2 id="attempts" className={styles.heading}>
          Attempts
        </h2>
        <Attempts attempts={project.attempts} />
      </section>
      {dialog === "cancel" && <CancelDialog status={project} onClose={close} onDone={finish} />}
      {dialog === "extend" && <ExtendDialog status={project} onClose={close} onDone={finish} />}
      {dialog === "delete" && <DeleteDialog project={project} onClose={close} />}
    </div>
  );
}

/** The project's activation code: its hint, or the form that assigns one. */
function Activation({ project }: { project: Project }) {
  const { assigned, hint, revoked_at: revokedAt } = project.activation_code;
  const { hash } = useLocation();
  const good = assigned && revokedAt === null;
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (hash !== "#activation") return;
    const section = heading.current?.parentElement;
    section?.scrollIntoView({ block: "center" });
    (section?.querySelector("input") ?? heading.current)?.focus();
  }, [hash]);
  return (
    <section className={ui.card} aria-labelledby="activation">
      <h2 id="activation" ref={heading} tabIndex={-1} className={styles.heading}>
        Activation code
      </h2>
      {good ? (
        <p>
          Assigned.{hint !== null && <> It ends in <code>{hint}</code>.</>}
        </p>
      ) : (
        <ActivationForm projectId={project.project_id} revoked={assigned ? { hint, at: revokedAt } : null} />
      )}
    </section>
  );
}

interface ActivationFormProps {
  projectId: string;
  revoked: { hint: string | null; at: string | null } | null;
}

function ActivationForm({ projectId, revoked }: ActivationFormProps) {
  const client = useQueryClient();
  const [code, setCode] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [empty, setEmpty] = useState(false);
  const underWay = useRef(false);
  const input = useRef<HTMLInputElement>(null);
  const ofCode = error instanceof ApiError && error.code.startsWith("activation_code_");
  const onField = empty ? "Type the code that you were given" : ofCode ? error.detail : null;
  useEffect(() => {
    if (onField !== null) input.current?.focus();
  }, [onField, error]);

  const assign = async () => {
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    setError(null);
    try {
      const project = await assignActivationCode(projectId, code.trim());
      client.setQueryData(keys.project(projectId), project);
      client.setQueryData(keys.status(projectId), project);
      announce("The activation code has been assigned.");
      await client.invalidateQueries({ queryKey: keys.lists });
    } catch (problem) {
      // Its first answer was lost, or another tab was quicker: it has one.
      if (problem instanceof ApiError && problem.code === "activation_code_present") {
        await client.invalidateQueries({ queryKey: keys.project(projectId) });
      }
      setError(problem);
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    setEmpty(code.trim() === "");
    if (code.trim() !== "") void assign();
  };
  return (
    <form className={ui.stack} onSubmit={submit} noValidate>
      {revoked === null ? (
        <p className={ui.soft}>A project needs one to run. You get it from the provider; it is good for one project.</p>
      ) : (
        <p>
          The code{revoked.hint !== null && <> that ends in <code>{revoked.hint}</code></>} was revoked{revoked.at !== null && <> (<Time iso={revoked.at} />)</>}. Assign another one.
        </p>
      )}
      <Field label="Code" hint="XXXX-XXXX-XXXX-XXXX, in any case, with or without hyphens" error={onField}>
        {(tied) => (
          <input
            {...tied}
            ref={input}
            className={styles.code}
            autoComplete="off"
            autoCapitalize="characters"
            spellCheck={false}
            maxLength={40}
            value={code}
            onChange={(event) => {
              setCode(event.target.value);
              setEmpty(false);
            }}
          />
        )}
      </Field>
      {error !== null && !ofCode && (
        <Notice tone="error" title="The code was not assigned">
          {sentenceOf(error)} You can try again.
        </Notice>
      )}
      <div>
        <Button type="submit" kind="primary" busy={busy && "Assigning…"}>
          Assign code
        </Button>
      </div>
    </form>
  );
}

function DeleteDialog({ project, onClose }: { project: Project; onClose: () => void }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const underWay = useRef(false);
  const remove = async () => {
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    setError(null);
    try {
      try {
        await deleteProject(project.project_id);
      } catch (problem) {
        // The answer to a first press was lost, or another tab did it: it is gone.
        if (!(problem instanceof ApiError && problem.status === 404)) throw problem;
      }
      const notice = `${project.name} was deleted.`;
      announce(notice);
      await navigate("/projects", { state: { notice } satisfies ListState });
      client.removeQueries({ queryKey: keys.project(project.project_id) });
      client.removeQueries({ queryKey: keys.status(project.project_id) });
      await client.invalidateQueries({ queryKey: keys.lists });
    } catch (problem) {
      setError(problem);
      setBusy(false);
      await client.invalidateQueries({ queryKey: keys.project(project.project_id) });
    } finally {
      underWay.current = false;
    }
  };
  return (
    <Dialog
      title="Delete this project?"
      onClose={onClose}
      busy={busy}
      actions={
        <>
          <Button onPress={onClose} blocked={busy ? "The project is being deleted" : null}>
            Keep it
          </Button>
          <Button kind="danger" busy={busy && "Deleting…"} onPress={() => void remove()}>
            Delete project
          </Button>
        </>
      }
    >
      <p>
        <strong>{project.name}</strong> goes for good, with everything that its runs have made. Its activation code can’t be used again.
      </p>
      {error !== null && (
        <Notice tone="error" title="The project was not deleted">
          {sentenceOf(error)}
        </Notice>
      )}
    </Dialog>
  );
}
