import { beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError, isDefinite, NetworkFault, readError, request, sentenceOf, sessions } from "./api";
import { signOut } from "./auth";
import { listProjects, restartProject, updateProject } from "./projects";

const session = {
  token: "acme.secret",
  expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
  tenantId: "acme",
  tenantSlug: "acme",
  tenantName: "Acme Inc.",
};

type Sent = { url: string; init: RequestInit };

/** Answers fetch with one answer after the other, and keeps what was sent. */
function answer(...answers: (Response | Error)[]): Sent[] {
  const sent: Sent[] = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    sent.push({ url, init });
    const next = answers.shift();
    return next instanceof Response ? Promise.resolve(next) : Promise.reject(next ?? new Error("no answer left"));
  });
  return sent;
}

const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  new Response(body === null ? null : JSON.stringify(body), { status, headers });

beforeEach(() => sessions.start(session));

describe("request", () => {
  it("sends the token as a header, and never in the address", async () => {
    const sent = answer(json(200, { projects: [], next_cursor: null }));
    await listProjects({ search: "a&b", status: "failed", cursor: undefined });
    expect(new Headers(sent[0]?.init.headers).get("X-Session-Token")).toBe("acme.secret");
    expect(sent[0]?.url).toBe("/api/tenant/projects?limit=20&search=a%26b&status=failed");
    expect(sent[0]?.init.credentials).toBe("omit");
  });

  it("sends the attempt that is expected and the key of the press", async () => {
    const sent = answer(json(200, {}));
    await restartProject("price-list", { expectedAttempt: 2, idempotencyKey: "k1" });
    expect(sent[0]?.url).toBe("/api/tenant/projects/price-list/restart");
    expect(sent[0]?.init.body).toBe('{"expected_attempt":2}');
    expect(new Headers(sent[0]?.init.headers).get("Idempotency-Key")).toBe("k1");
  });

  it("sends the version that an edit replaces", async () => {
    const sent = answer(json(200, {}));
    await updateProject("a", { name: "n", description: "", objectives: "" }, 7);
    expect(new Headers(sent[0]?.init.headers).get("If-Match")).toBe('"7"');
  });

  it("returns undefined for an answer without a body", async () => {
    answer(json(204, null));
    expect(await request("/x", { method: "DELETE" })).toBeUndefined();
  });

  it("ends the session on a 401, and says why to whoever asked", async () => {
    answer(json(401, { detail: "Session expired: please sign in again", code: "session_expired" }));
    await expect(request("/x")).rejects.toMatchObject({ status: 401, code: "session_expired" });
    expect(sessions.state()).toMatchObject({ session: null, ended: "expired" });
  });

  it("sends nothing without a session", async () => {
    sessions.end("logout", session.token);
    const sent = answer();
    await expect(request("/x")).rejects.toMatchObject({ status: 401 });
    expect(sent).toHaveLength(0);
  });

  it("leaves the session alone when a login code is wrong", async () => {
    answer(json(401, { detail: "The login code is wrong or has expired", code: "login_code_wrong" }));
    await expect(request("/x", { signedIn: false })).rejects.toBeInstanceOf(ApiError);
    expect(sessions.state().session).toEqual(session);
  });

  it("tells a lost answer and one that can't be read from a refusal", async () => {
    answer(new TypeError("failed to fetch"), new Response("<html>", { status: 200 }));
    await expect(request("/x")).rejects.toMatchObject({ name: "NetworkFault", kind: "unreachable" });
    await expect(request("/x")).rejects.toMatchObject({ name: "NetworkFault", kind: "garbled" });
  });

  it("hands on that it was called off", async () => {
    const stop = new AbortController();
    stop.abort();
    answer(stop.signal.reason as Error);
    await expect(request("/x", { signal: stop.signal })).rejects.toBe(stop.signal.reason);
  });
});

describe("readError", () => {
  it("reads the API's form with what fills its sentence", () => {
    const error = readError(409, '{"detail":"The project is at attempt 3","code":"attempt_differs","attempt":3,"status":"running"}', null);
    expect(error).toMatchObject({ status: 409, code: "attempt_differs", detail: "The project is at attempt 3", fields: { attempt: 3, status: "running" } });
  });

  it("reads the gateway's form, which has no code", () => {
    expect(readError(429, '{"message":"Too Many Requests"}', "3")).toMatchObject({ code: "gateway", retryAfter: 3 });
    expect(readError(503, '{"message":"Service Unavailable"}', null).detail).toMatch(/too long/);
  });

  it("makes do with a proxy's page", () => {
    for (const text of ["<html>Bad gateway</html>", "", "null", "[1]", '"x"']) {
      const error = readError(502, text, null);
      expect(error.code).toBe("gateway");
      expect(error.detail).toContain("502");
    }
  });

  it("reads how long to wait, from a number, a date or the body", () => {
    expect(readError(429, "{}", "17").retryAfter).toBe(17);
    expect(readError(429, "{}", new Date(Date.now() + 60_000).toUTCString()).retryAfter).toBeGreaterThan(50);
    expect(readError(429, '{"detail":"d","code":"login_rate_limited","retry_after_seconds":1200}', null).retryAfter).toBe(1200);
    expect(readError(429, "{}", "soon").retryAfter).toBeNull();
  });
});

describe("isDefinite", () => {
  it("holds for what was refused, and not for what may have been carried out", () => {
    const api = (status: number, code = "x") => new ApiError(status, code, "");
    for (const error of [api(400), api(401), api(404), api(409), api(412), api(422), api(502, "launch_refused")]) {
      expect(isDefinite(error), String(error.status)).toBe(true);
    }
    for (const error of [api(408), api(429), api(500, "internal"), api(502), api(503, "unavailable"), api(504), new NetworkFault("timeout", null), new Error("x"), null]) {
      expect(isDefinite(error)).toBe(false);
    }
  });
});

describe("sentenceOf", () => {
  it("shows the API's words, and nothing of what went wrong inside", () => {
    expect(sentenceOf(new ApiError(400, "x", "The name is missing"))).toBe("The name is missing");
    expect(sentenceOf(new NetworkFault("unreachable", new Error("secret")))).toMatch(/can’t be reached/);
    expect(sentenceOf(new Error("secret"))).not.toContain("secret");
  });
});

describe("signOut", () => {
  it("counts a session that has ended already as logged out", async () => {
    answer(json(401, { detail: "Unknown session token", code: "session_invalid" }));
    await signOut();
    expect(sessions.state()).toMatchObject({ session: null, ended: "logout" });
  });

  it("ends the session here when the server can't be told, and says so", async () => {
    answer(new TypeError("failed to fetch"));
    await signOut();
    expect(sessions.state()).toMatchObject({ session: null, ended: "logout-unconfirmed" });
  });
});
