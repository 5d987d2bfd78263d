// The API's calls about projects. Each needs a session: one that has expired is
// ended by the answer (see api.ts), the user is led to the login and back, and
// the call is not made again.

import { request } from "./api";
import type { components } from "./openapi";

type Schemas = components["schemas"];
export type Project = Schemas["Project"];
export type ProjectSummary = Schemas["ProjectSummary"];
export type ProjectList = Schemas["ProjectList"];
export type ProjectStatus = Schemas["Status"];
export type ExecutionStatus = Schemas["ExecutionStatus"];
export type Attempt = Schemas["AttemptStatus"];
export type Outcome = Schemas["Outcome"];
export type Draft = Required<Schemas["Draft"]>;
export type Started = Schemas["Started"];
export type Cancelled = Schemas["Cancelled"];
export type Extended = Schemas["Extended"];
export type Log = Schemas["Log"];
export type Download = Schemas["Download"];

const all = "/api/tenant/projects";
const one = (projectId: string) => `${all}/${encodeURIComponent(projectId)}`;

export interface Listing {
  search?: string;
  status?: ExecutionStatus | undefined;
  cursor?: string | undefined;
}

/** How many projects a page of the list has. */
export const pageSize = 20;

/** A page of the tenant's projects, newest first. */
export function listProjects(listing: Listing, signal?: AbortSignal): Promise<ProjectList> {
  return request(all, {
    query: { limit: pageSize, search: listing.search, status: listing.status, cursor: listing.cursor },
    signal,
  });
}

/** Everything about a project, its status too. */
export function getProject(projectId: string, signal?: AbortSignal): Promise<Project> {
  return request(one(projectId), { signal });
}

export function createProject(draft: Draft): Promise<Project> {
  return request(all, { method: "POST", body: draft });
}

/** Replaces a project's texts, if it is still at the version that was read. */
export function updateProject(projectId: string, draft: Draft, version: number): Promise<Project> {
  return request(one(projectId), { method: "PUT", body: draft, headers: { "If-Match": `"${version}"` } });
}

export function deleteProject(projectId: string): Promise<void> {
  return request(one(projectId), { method: "DELETE" });
}

export function assignActivationCode(projectId: string, code: string): Promise<Project> {
  return request(`${one(projectId)}/activation-code`, { method: "POST", body: { code } });
}

/** What a start is bound to: the attempt that its user saw, and its one press. */
export interface Start {
  expectedAttempt: number;
  idempotencyKey: string;
}

/** Runs a pending project. */
export function runProject(projectId: string, start: Start): Promise<Started> {
  return startProject(projectId, "run", start);
}

/** Restarts a failed project. */
export function restartProject(projectId: string, start: Start): Promise<Started> {
  return startProject(projectId, "restart", start);
}

function startProject(projectId: string, operation: "run" | "restart", start: Start): Promise<Started> {
  return request(`${one(projectId)}/${operation}`, {
    method: "POST",
    body: { expected_attempt: start.expectedAttempt },
    headers: { "Idempotency-Key": start.idempotencyKey },
  });
}

/** Ends the attempt that runs, as failed. */
export function cancelProject(projectId: string, expectedAttempt: number): Promise<Cancelled> {
  return request(`${one(projectId)}/cancel`, { method: "POST", body: { expected_attempt: expectedAttempt } });
}

/** Moves the time-out of the attempt that runs by some hours, once. The same again is answered alike. */
export function extendProject(projectId: string, hours: number, expectedAttempt: number): Promise<Extended> {
  return request(`${one(projectId)}/extend`, { method: "POST", body: { hours, expected_attempt: expectedAttempt } });
}

/** How a project fares: the call that is cheap enough to be made every 2 seconds. */
export function getStatus(projectId: string, signal?: AbortSignal): Promise<ProjectStatus> {
  return request(`${one(projectId)}/status`, { signal });
}

/** The last lines that an attempt's command wrote. */
export function getLog(projectId: string, attempt: number, signal?: AbortSignal): Promise<Log> {
  return request(`${one(projectId)}/log`, { query: { attempt, tail: 200 }, signal });
}

/** A link to a completed project's output. It is good for some minutes. */
export function getDownload(projectId: string): Promise<Download> {
  return request(`${one(projectId)}/download`);
}
