import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, type SubmitEvent } from "react";
import { Link, useNavigate } from "react-router";
import { announce } from "../components/announcer";
import { Button, buttonClass } from "../components/button";
import { Field } from "../components/field";
import { useSession } from "../components/hooks";
import { Notice } from "../components/notice";
import { LoadError, Loading, PageHeader } from "../components/page";
import ui from "../components/ui.module.css";
import { ApiError, sentenceOf } from "../lib/api";
import { forgetDraft, keepDraft, keptDraft, lengthOf, limits, problemsOf } from "../lib/drafts";
import { createProject, getProject, updateProject, type Draft, type Project } from "../lib/projects";
import { keys, useAccount, useProject } from "../lib/queries";
import { subscriptionProblem } from "../lib/rules";
import styles from "./edit.module.css";
import { ProjectNotFound } from "./notfound";

const blank: Draft = { name: "", description: "", objectives: "" };
const textsOf = (p: Project): Draft => ({ name: p.name, description: p.description, objectives: p.objectives });
const labels: Record<keyof Draft, string> = { name: "Name", description: "Description", objectives: "Objectives" };
const fields = Object.keys(labels) as (keyof Draft)[];

export function NewProjectPage() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const account = useAccount();
  const problem = subscriptionProblem(account.data?.subscription_state);
  return (
    <div className={styles.page}>
      <PageHeader title="New project" crumbs={[{ to: "/projects", label: "Projects" }]} />
      {problem !== null && <Notice tone="warning">{problem}.</Notice>}
      <DraftForm
        page="new"
        initial={blank}
        version={0}
        submit="Create project"
        busy="Creating…"
        failure="The project was not created"
        cancelTo="/projects"
        save={createProject}
        onSaved={async (project) => {
          client.setQueryData(keys.project(project.project_id), project);
          await client.invalidateQueries({ queryKey: keys.lists });
          announce("The project has been created.");
          await navigate(`/projects/${project.project_id}`);
        }}
      />
    </div>
  );
}

export function EditProjectPage({ projectId }: { projectId: string }) {
  const project = useProject(projectId);
  // A run may have changed the project since it was last read: what is edited is
  // read anew. Once the form is there, it stays.
  const [ready, setReady] = useState(false);
  if (!ready && project.isFetchedAfterMount && project.isSuccess) setReady(true);
  const crumbs = [
    { to: "/projects", label: "Projects" },
    { to: `/projects/${projectId}`, label: project.data?.name ?? projectId },
  ];
  if (project.error instanceof ApiError && [400, 404].includes(project.error.status)) return <ProjectNotFound />;
  return (
    <div className={styles.page}>
      <PageHeader title="Edit project" crumbs={crumbs} />
      {project.data === undefined || !ready ? (
        project.isError ? (
          <LoadError what="the project" error={project.error} onRetry={() => void project.refetch()} />
        ) : (
          <Loading what="the project" />
        )
      ) : (
        <EditForm projectId={projectId} project={project.data} />
      )}
    </div>
  );
}

function EditForm({ projectId, project }: { projectId: string; project: Project }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  // What is edited is the project as it was when editing began.
  const [base] = useState(project);
  return (
    <>
      {project.execution_status === "running" && (
        <Notice tone="warning" title="The project is running">
          Editing is possible once it has ended. <Link to={`/projects/${projectId}/status`}>Watch it</Link>
        </Notice>
      )}
      <DraftForm
        page={`edit ${projectId}`}
        initial={textsOf(base)}
        version={base.version}
        submit="Save changes"
        busy="Saving…"
        failure="The changes were not saved"
        cancelTo={`/projects/${projectId}`}
        save={(draft, version) => updateProject(projectId, draft, version)}
        reload={() => getProject(projectId)}
        onSaved={async (saved) => {
          client.setQueryData(keys.project(projectId), saved);
          client.setQueryData(keys.status(projectId), saved);
          await client.invalidateQueries({ queryKey: keys.lists });
          announce("The changes have been saved.");
          await navigate(`/projects/${projectId}`);
        }}
      />
    </>
  );
}

interface FormProps {
  page: string;
  initial: Draft;
  version: number;
  submit: string;
  busy: string;
  failure: string;
  cancelTo: string;
  save: (draft: Draft, version: number) => Promise<Project>;
  /** Loads the project as others have left it; a new project has none. */
  reload?: () => Promise<Project>;
  onSaved: (project: Project) => Promise<void>;
}

function DraftForm({ page, initial, version, save, reload, onSaved, ...words }: FormProps) {
  const tenantId = useSession()?.tenantId ?? "";
  const [kept, setKept] = useState(() => keptDraft(tenantId, page));
  const [draft, setDraft] = useState(kept?.draft ?? initial);
  const [edits, setEdits] = useState(kept?.version ?? version);
  const [busy, setBusy] = useState(false);
  const [problems, setProblems] = useState<Partial<Record<keyof Draft, string>>>({});
  const [error, setError] = useState<unknown>(null);
  const [theirs, setTheirs] = useState<Project | null>(null);
  const underWay = useRef(false);
  const form = useRef<HTMLFormElement>(null);
  const conflict = useRef<HTMLHeadingElement>(null);

  const wrong = fields.filter((f) => problems[f] !== undefined);
  useEffect(() => {
    // The first field that is wrong, after each attempt to save.
    if (Object.keys(problems).length > 0) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [problems]);
  useEffect(() => {
    if (theirs !== null) conflict.current?.focus();
  }, [theirs]);

  const change = (field: keyof Draft, value: string) => {
    const next = { ...draft, [field]: value };
    setDraft(next);
    keepDraft(tenantId, page, { draft: next, version: edits });
  };
  const send = async (of: number) => {
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    setError(null);
    setTheirs(null);
    try {
      const saved = await save(draft, of);
      forgetDraft(tenantId, page);
      await onSaved(saved);
    } catch (problem) {
      const field = problem instanceof ApiError && problem.code === "field_invalid" ? fields.find((f) => f === problem.fields.field) : undefined;
      if (field !== undefined && problem instanceof ApiError) setProblems({ [field]: problem.detail });
      else if (problem instanceof ApiError && problem.code === "version_stale" && reload !== undefined) {
        try {
          setTheirs(await reload());
        } catch (second) {
          setError(second);
        }
      } else setError(problem);
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const found = problemsOf(draft);
    setProblems(found);
    if (Object.keys(found).length === 0) void send(edits);
  };
  const take = (project: Project, keepMine: boolean) => {
    setTheirs(null);
    setEdits(project.version);
    if (keepMine) {
      keepDraft(tenantId, page, { draft, version: project.version });
      void send(project.version);
      return;
    }
    setDraft(textsOf(project));
    forgetDraft(tenantId, page);
    announce("The form has their version now.");
    form.current?.querySelector("input")?.focus();
  };

  const counted = (field: keyof Draft) => `${lengthOf(draft[field])} of ${limits[field]}`;
  return (
    <form ref={form} className={`${ui.card ?? ""} ${ui.stack ?? ""}`} onSubmit={submit} noValidate>
      {kept !== undefined && (
        <Notice
          tone="info"
          actions={
            <Button
              onPress={() => {
                forgetDraft(tenantId, page);
                setKept(undefined);
                setDraft(initial);
                setEdits(version);
              }}
            >
              Discard
            </Button>
          }
        >
          This is what you had typed and not saved.
        </Notice>
      )}
      {wrong.length > 1 && (
        <Notice tone="error" title={`${wrong.length} fields need another look`}>
          {wrong.map((f) => labels[f]).join(", ")}
        </Notice>
      )}
      <Field label="Name" error={problems.name ?? null} hint="What you call it; its address is made of the first name" aside={counted("name")}>
        {(tied) => <input {...tied} required value={draft.name} onChange={(e) => change("name", e.target.value)} autoComplete="off" />}
      </Field>
      <Field label="Description" error={problems.description ?? null} hint="What it is about. Needed to run it" aside={counted("description")}>
        {(tied) => <textarea {...tied} rows={3} value={draft.description} onChange={(e) => change("description", e.target.value)} />}
      </Field>
      <Field label="Objectives" error={problems.objectives ?? null} hint="What a run is to achieve, one on a line. Needed to run it" aside={counted("objectives")}>
        {(tied) => <textarea {...tied} rows={8} value={draft.objectives} onChange={(e) => change("objectives", e.target.value)} />}
      </Field>
      {error !== null && (
        <Notice tone="error" title={words.failure}>
          {sentenceOf(error)}
        </Notice>
      )}
      {theirs !== null && <Conflict heading={conflict} mine={draft} theirs={theirs} onTake={(keepMine) => take(theirs, keepMine)} />}
      <div className={ui.row}>
        <Button kind="primary" type="submit" busy={busy && words.busy}>
          {words.submit}
        </Button>
        <Link className={buttonClass("quiet")} to={words.cancelTo} onClick={() => forgetDraft(tenantId, page)}>
          Cancel
        </Link>
      </div>
    </form>
  );
}

interface ConflictProps {
  heading: React.RefObject<HTMLHeadingElement | null>;
  mine: Draft;
  theirs: Project;
  onTake: (keepMine: boolean) => void;
}

/** The project was changed by somebody else: both texts, and whose is kept. */
function Conflict({ heading, mine, theirs, onTake }: ConflictProps) {
  const differing = fields.filter((f) => mine[f] !== theirs[f]);
  return (
    <section className={styles.conflict} aria-labelledby="conflict">
      <h2 id="conflict" ref={heading} tabIndex={-1}>
        The project was changed meanwhile
      </h2>
      <p>Somebody has saved other texts since you opened this page. Nothing of yours was saved, and nothing is lost.</p>
      {differing.length === 0 && <p>They read the same as yours.</p>}
      {differing.map((f) => (
        <div key={f}>
          <h3>{labels[f]} as it is now</h3>
          <p className={styles.theirs}>{theirs[f] === "" ? <em>empty</em> : theirs[f]}</p>
        </div>
      ))}
      <div className={ui.row}>
        <Button onPress={() => onTake(false)}>Take their version</Button>
        <Button kind="primary" onPress={() => onTake(true)}>
          Save mine over it
        </Button>
      </div>
    </section>
  );
}
