// The one way to the API: a fetch that knows the session, the API's errors and
// those of API Gateway.

import { learnTime, now } from "./clock";
import { SessionStore } from "./session";

/** The session of this tab. */
export const sessions = new SessionStore({
  storage: window.sessionStorage,
  channel: typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("rekindle.session"),
  now,
});

/** API Gateway gives up after 30 seconds; an answer that takes longer never comes. */
const answerWithin = 35_000;

/** A refusal: by the API, or by the gateway in front of it. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    /** What keeps its meaning for ever (docs/errors.md); "gateway" for the gateway's own. */
    readonly code: string,
    /** A sentence for a person. */
    readonly detail: string,
    /** What fills the sentence: field, status, attempt, … */
    readonly fields: Readonly<Record<string, unknown>> = {},
    /** Seconds to wait before trying again; null where nothing was said. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
    this.name = "ApiError";
  }
}

/**
 * There was no answer, or none that could be read. Whether the request was
 * carried out is not known.
 */
export class NetworkFault extends Error {
  constructor(readonly kind: "unreachable" | "timeout" | "garbled", cause: unknown) {
    super(kind, { cause });
    this.name = "NetworkFault";
  }
}

/**
 * Whether an error says for certain that nothing was begun and trying the same
 * again would be refused again. What is not definite may have been carried out,
 * so it is sent again with the same Idempotency-Key.
 */
export function isDefinite(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  if (error.code === "launch_refused") return true;
  return error.status < 500 && error.status !== 408 && error.status !== 429;
}

export interface Call {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  query?: Readonly<Record<string, string | number | undefined>>;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal | undefined;
  /** False for the calls that begin a session. */
  signedIn?: boolean;
  /** False for the call that ends the session itself, whatever the answer. */
  endsSession?: boolean;
}

const base = (import.meta.env.VITE_API_URL ?? "").replace(/\/+$/, "");

/**
 * Calls the API and returns its JSON, undefined for an answer without a body.
 * Throws ApiError or NetworkFault; an aborted call throws what fetch throws. A
 * 401 of a call that was signed in ends the session, which leads to the login.
 */
export async function request<T>(path: string, call: Call = {}): Promise<T> {
  const headers = new Headers({ Accept: "application/json", ...call.headers });
  if (call.body !== undefined) headers.set("Content-Type", "application/json");
  const signedIn = call.signedIn ?? true;
  const token = signedIn ? sessions.current()?.token : undefined;
  if (signedIn) {
    if (token === undefined) throw new ApiError(401, "session_missing", "Please sign in");
    headers.set("X-Session-Token", token);
  }
  const timeout = AbortSignal.timeout(answerWithin);
  const init: RequestInit = {
    method: call.method ?? "GET",
    headers,
    signal: call.signal ? AbortSignal.any([call.signal, timeout]) : timeout,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    referrerPolicy: "no-referrer",
  };
  if (call.body !== undefined) init.body = JSON.stringify(call.body);

  let response: Response;
  let text: string;
  try {
    response = await fetch(base + path + queryOf(call.query), init);
    text = await response.text();
  } catch (cause) {
    if (call.signal?.aborted) throw cause;
    throw new NetworkFault(timeout.aborted ? "timeout" : "unreachable", cause);
  }
  learnTime(response.headers.get("Date"));

  if (!response.ok) {
    const error = readError(response.status, text, response.headers.get("Retry-After"));
    if (response.status === 401 && token !== undefined && call.endsSession !== false) sessions.end("expired", token);
    throw error;
  }
  if (text === "") return undefined as T;
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new NetworkFault("garbled", cause);
  }
}

function queryOf(query: Call["query"]): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== "") params.set(name, String(value));
  }
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}

/** Reads an error in the API's form, in the gateway's, or in none at all. */
export function readError(status: number, text: string, retryAfter: string | null): ApiError {
  let body: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) body = value as Record<string, unknown>;
  } catch {
    // A proxy's page, say. Its status is all there is.
  }
  const { detail, code, ...fields } = body;
  const wait = secondsOf(retryAfter) ?? (typeof fields.retry_after_seconds === "number" ? fields.retry_after_seconds : null);
  if (typeof detail === "string" && typeof code === "string") return new ApiError(status, code, detail, fields, wait);
  return new ApiError(status, "gateway", gatewaySentence(status), {}, wait);
}

function gatewaySentence(status: number): string {
  switch (status) {
    case 401:
    case 403:
      return "The service refused this request";
    case 404:
      return "The service does not know this address";
    case 413:
    case 431:
      return "That is more than the service takes at once: shorten the texts";
    case 429:
      return "Too many requests at once: try again in a moment";
    case 503:
    case 504:
      return "The service took too long to answer: try again in a moment";
    default:
      return `The service answered with an error (${status}): try again in a moment`;
  }
}

/** Seconds of a Retry-After header, which may be a number or a date. */
function secondsOf(header: string | null): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, Math.ceil(seconds));
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, Math.ceil((date - now()) / 1000));
}

/** What an error says, in words for the person who reads the page. */
export function sentenceOf(error: unknown): string {
  if (error instanceof ApiError) return error.detail;
  if (error instanceof NetworkFault) {
    return error.kind === "garbled"
      ? "The answer of the service could not be read."
      : "The service can’t be reached. Check your connection.";
  }
  return "Something went wrong in the portal. Load the page again.";
}
