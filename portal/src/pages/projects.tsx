import { useEffect, useState, type SubmitEvent } from "react";
import { Link, useLocation, useNavigate, useSearchParams } from "react-router";
import { announce } from "../components/announcer";
import { StatusBadge, statusLabel } from "../components/badge";
import { Button, buttonClass } from "../components/button";
import { useNow } from "../components/hooks";
import { Notice } from "../components/notice";
import { LoadError, Loading, PageHeader } from "../components/page";
import { StaleBanner } from "../components/stale";
import { Time } from "../components/time";
import ui from "../components/ui.module.css";
import { ApiError } from "../lib/api";
import { between, formatDuration } from "../lib/format";
import { useAccount, useProjects } from "../lib/queries";
import { subscriptionProblem } from "../lib/rules";
import type { ExecutionStatus, ProjectSummary } from "../lib/projects";
import styles from "./projects.module.css";

const statuses = Object.keys(statusLabel) as ExecutionStatus[];

/** What a page hands to the list when it leads there. */
export interface ListState {
  notice?: string;
  /** The cursors of the pages before this one. */
  trail?: string[];
}

export function ProjectListPage() {
  const [query, setQuery] = useSearchParams();
  const location = useLocation();
  const navigate = useNavigate();
  const state = (location.state ?? {}) as ListState;
  const trail = state.trail ?? [];
  const search = query.get("search") ?? "";
  const asked = query.get("status");
  const status = statuses.find((s) => s === asked);
  const cursor = query.get("cursor") ?? undefined;

  const list = useProjects({ search, status, cursor });
  const account = useAccount();
  const problem = subscriptionProblem(account.data?.subscription_state);
  const filtered = search !== "" || status !== undefined;

  // A cursor of another list, or of another time: begin again without it.
  const lost = list.error instanceof ApiError && list.error.code === "cursor_invalid";
  useEffect(() => {
    if (!lost) return;
    setQuery((q) => without(q, "cursor"), { replace: true });
  }, [lost, setQuery]);

  const shown = list.data?.projects.length;
  const settled = !list.isPlaceholderData && shown !== undefined;
  useEffect(() => {
    if (settled && (filtered || cursor !== undefined)) announce(shown === 1 ? "1 project shown" : `${shown} projects shown`);
  }, [settled, shown, filtered, cursor, search, status]);

  const filter = (name: "search" | "status", value: string) =>
    setQuery((q) => {
      const next = without(without(q, "cursor"), name);
      if (value !== "") next.set(name, value);
      return next;
    }, { replace: true });

  const turn = (to: string | undefined, nextTrail: string[]) => {
    const next = without(query, "cursor");
    if (to !== undefined && to !== "") next.set("cursor", to);
    void navigate({ search: next.toString() }, { state: { trail: nextTrail } satisfies ListState });
    document.querySelector("h1")?.focus();
  };

  return (
    <div className={ui.stack}>
      <PageHeader
        title="Projects"
        actions={
          <Link className={buttonClass("primary")} to="/new-project">
            New project
          </Link>
        }
      />
      {state.notice !== undefined && (
        <Notice
          tone="success"
          actions={<Button onPress={() => void navigate(location.pathname + location.search, { replace: true, state: { trail } })}>Dismiss</Button>}
        >
          {state.notice}
        </Notice>
      )}
      {problem !== null && <Notice tone="warning">{problem}.</Notice>}
      <Filters search={search} status={status} onFilter={filter} />
      {list.data !== undefined && (
        <StaleBanner
          updatedAt={list.dataUpdatedAt}
          failed={list.isError}
          running={list.data.projects.some((p) => p.execution_status === "running")}
        />
      )}
      {list.data === undefined ? (
        list.isError && !lost ? (
          <LoadError what="your projects" error={list.error} onRetry={() => void list.refetch()} />
        ) : (
          <Loading what="your projects" />
        )
      ) : list.data.projects.length === 0 ? (
        <Empty
          filtered={filtered}
          onClear={() => setQuery({}, { replace: true })}
        />
      ) : (
        <div aria-busy={list.isPlaceholderData} className={list.isPlaceholderData ? styles.old : undefined}>
          <ProjectTable projects={list.data.projects} />
        </div>
      )}
      {list.data !== undefined && (cursor !== undefined || list.data.next_cursor !== null) && (
        <nav className={styles.pages} aria-label="Pages">
          {cursor !== undefined && (
            <Button onPress={() => turn(trail.at(-1), trail.slice(0, -1))}>{trail.length > 0 ? "Previous page" : "First page"}</Button>
          )}
          <span className={ui.soft}>{cursor === undefined ? "Page 1" : trail.length > 0 ? `Page ${trail.length + 1}` : "Further page"}</span>
          {list.data.next_cursor !== null && (
            <Button
              blocked={list.isPlaceholderData ? "The page is being loaded" : null}
              onPress={() => turn(list.data.next_cursor ?? undefined, [...trail, cursor ?? ""])}
            >
              Next page
            </Button>
          )}
        </nav>
      )}
    </div>
  );
}

function without(query: URLSearchParams, name: string): URLSearchParams {
  const next = new URLSearchParams(query);
  next.delete(name);
  return next;
}

interface FilterProps {
  search: string;
  status: ExecutionStatus | undefined;
  onFilter: (name: "search" | "status", value: string) => void;
}

function Filters({ search, status, onFilter }: FilterProps) {
  const [typed, setTyped] = useState(search);
  // The address may change by other means, the browser's Back for one.
  const [shown, setShown] = useState(search);
  if (shown !== search) {
    setShown(search);
    setTyped(search);
  }
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    onFilter("search", typed.trim());
  };
  return (
    <form className={styles.filters} role="search" onSubmit={submit}>
      <div className={styles.search}>
        <label htmlFor="search">Search</label>
        <div className={styles.searchLine}>
          <input
            id="search"
            className={ui.input}
            type="search"
            maxLength={200}
            placeholder="Any of its texts"
            value={typed}
            onChange={(event) => {
              setTyped(event.target.value);
              if (event.target.value === "" && search !== "") onFilter("search", "");
            }}
          />
          <Button type="submit">Search</Button>
        </div>
      </div>
      <div className={styles.status}>
        <label htmlFor="status">Status</label>
        <select id="status" className={ui.input} value={status ?? ""} onChange={(event) => onFilter("status", event.target.value)}>
          <option value="">All</option>
          {statuses.map((s) => (
            <option key={s} value={s}>
              {statusLabel[s]}
            </option>
          ))}
        </select>
      </div>
    </form>
  );
}

function Empty({ filtered, onClear }: { filtered: boolean; onClear: () => void }) {
  if (filtered) {
    return (
      <div className={`${ui.card ?? ""} ${ui.empty ?? ""}`}>
        <h2>No project matches</h2>
        <p className={ui.soft}>Search and status look through all of your projects.</p>
        <Button onPress={onClear}>Show all projects</Button>
      </div>
    );
  }
  return (
    <div className={`${ui.card ?? ""} ${ui.empty ?? ""}`}>
      <h2>No projects yet</h2>
      <p className={ui.soft}>A project says what is to be made. Create one, give it an activation code, and run it.</p>
      <Link className={buttonClass("primary")} to="/new-project">
        Create your first project
      </Link>
    </div>
  );
}

function ProjectTable({ projects }: { projects: ProjectSummary[] }) {
  const now = useNow(projects.some((p) => p.execution_status === "running"));
  return (
    <table className={styles.table}>
      <caption className="visually-hidden">Your projects, newest first</caption>
      <thead>
        <tr>
          <th scope="col">Project</th>
          <th scope="col">Status</th>
          <th scope="col">Last run</th>
          <th scope="col">Created</th>
        </tr>
      </thead>
      <tbody>
        {projects.map((p) => (
          <tr key={p.project_id}>
            <th scope="row">
              <Link className={styles.name} to={`/projects/${p.project_id}`}>
                {p.name}
              </Link>
              {p.description !== "" && <span className={styles.description}>{p.description}</span>}
            </th>
            <td data-label="Status">
              <StatusBadge status={p.execution_status} />
              {!p.has_activation_code && p.execution_status !== "completed" && <span className={styles.hint}>No activation code</span>}
            </td>
            <td data-label="Last run">
              <LastRun project={p} now={now} />
            </td>
            <td data-label="Created">{p.created_at === null ? "–" : <Time iso={p.created_at} />}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function LastRun({ project: p, now }: { project: ProjectSummary; now: number }) {
  switch (p.execution_status) {
    case "pending":
      return <span className={ui.soft}>Not run yet</span>;
    case "running": {
      const elapsed = between(p.execution_started_at, now);
      return (
        <span className={styles.run}>
          <progress className={styles.bar} aria-label={`Progress of ${p.name}`} value={p.progress.percent} max={100} />
          <span className={styles.number}>
            {p.progress.percent}%{elapsed !== null && `, for ${formatDuration(elapsed)}`}
          </span>
        </span>
      );
    }
    case "failed":
      return (
        <span className={styles.error}>
          {p.execution_error ?? "No reason was given"}
        </span>
      );
    case "completed": {
      const length = between(p.execution_started_at, p.execution_completed_at);
      return (
        <>
          {p.execution_completed_at !== null && <Time iso={p.execution_completed_at} />}
          {length !== null && <span className={styles.hint}>took {formatDuration(length)}</span>}
        </>
      );
    }
  }
}
