// What the pages know of the server: TanStack Query's cache, and when it is
// asked again.

import { keepPreviousData, QueryClient, useQuery, useQueryClient, type UseQueryResult } from "@tanstack/react-query";
import { ApiError, isDefinite } from "./api";
import { inattention } from "./attention";
import { getAccount } from "./auth";
import { nextPoll } from "./polling";
import { getLog, getProject, getStatus, listProjects, type ExecutionStatus, type Listing, type Log, type Project, type ProjectList, type ProjectStatus } from "./projects";

export const keys = {
  account: ["account"] as const,
  lists: ["list"] as const,
  list: (listing: Listing) => ["list", listing] as const,
  project: (projectId: string) => ["project", projectId] as const,
  status: (projectId: string) => ["status", projectId] as const,
  log: (projectId: string, attempt: number) => ["log", projectId, attempt] as const,
};

export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        // The browser's idea of being offline is often wrong: the request tells.
        networkMode: "always",
        refetchOnReconnect: true,
        retry: (failures, error) => failures < 2 && !isDefinite(error),
        retryDelay: (failures, error) => Math.max(1000 * 2 ** failures, waitOf(error) * 1000),
      },
    },
  });
}

function waitOf(error: unknown): number {
  return error instanceof ApiError ? (error.retryAfter ?? 0) : 0;
}

/** What the schedule looks at of a query. */
interface Asked {
  state: { error: Error | null; dataUpdateCount: number; errorUpdateCount: number };
}

/** The count of errors at each query's last answer: failures in a row, which a query only counts in all. */
const answered = new WeakMap<Asked, { answers: number; errors: number }>();

function failuresInARow(query: Asked): number {
  const { dataUpdateCount: answers, errorUpdateCount: errors, error } = query.state;
  let last = answered.get(query);
  if (last?.answers !== answers) {
    last = { answers, errors: error === null ? errors : errors - 1 };
    answered.set(query, last);
  }
  return errors - last.errors;
}

/** The refetchInterval of a query that shows something of a status. */
function poll(query: Asked, status: ExecutionStatus | undefined): number | false {
  const { error } = query.state;
  if (isDefinite(error)) return false;
  return nextPoll({ status, failures: failuresInARow(query), retryAfter: waitOf(error), ...inattention() });
}

// A polled query is asked again by its interval, which grows with the failures,
// so it does not retry besides. The interval itself knows what to do in a hidden
// tab.
const polled = { retry: false, refetchIntervalInBackground: true } as const;

export function useProject(projectId: string): UseQueryResult<Project> {
  const client = useQueryClient();
  return useQuery({
    ...polled,
    queryKey: keys.project(projectId),
    queryFn: async ({ signal }) => {
      const project = await getProject(projectId, signal);
      client.setQueryData(keys.status(projectId), project);
      return project;
    },
    refetchInterval: (query) => poll(query, query.state.data?.execution_status),
  });
}

export function useStatus(projectId: string): UseQueryResult<ProjectStatus> {
  return useQuery({
    ...polled,
    queryKey: keys.status(projectId),
    queryFn: ({ signal }) => getStatus(projectId, signal),
    refetchInterval: (query) => poll(query, query.state.data?.execution_status),
  });
}

/** The log of an attempt; none before the first. */
export function useLog(projectId: string, attempt: number, running: boolean): UseQueryResult<Log> {
  return useQuery({
    ...polled,
    queryKey: keys.log(projectId, attempt),
    queryFn: ({ signal }) => getLog(projectId, attempt, signal),
    enabled: attempt > 0,
    refetchInterval: (query) => poll(query, running ? "running" : undefined),
  });
}

/** A page of the list. While another one is fetched, the last one stays. */
export function useProjects(listing: Listing): UseQueryResult<ProjectList> {
  return useQuery({
    ...polled,
    queryKey: keys.list(listing),
    queryFn: ({ signal }) => listProjects(listing, signal),
    placeholderData: keepPreviousData,
    refetchInterval: (query) =>
      poll(query, query.state.data?.projects.some((p) => p.execution_status === "running") === true ? "running" : undefined),
  });
}

/** Whose session it is; its subscription changes rarely. */
export function useAccount() {
  return useQuery({ queryKey: keys.account, queryFn: ({ signal }) => getAccount(signal), staleTime: 30_000 });
}
