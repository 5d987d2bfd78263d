import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { askFor, safeNext, SessionStore, type Session } from "./session";

const begin = Date.parse("2026-03-01T12:00:00Z");
const session: Session = {
  token: "acme.secret",
  expiresAt: "2026-03-02T12:00:00.000Z",
  tenantId: "acme",
  tenantSlug: "acme",
  tenantName: "Acme Inc.",
};

/** Channels that hand messages to each other at once, as those of one browser do. */
function wire() {
  const ends: EventTarget[] = [];
  return () => {
    const end = new EventTarget();
    ends.push(end);
    return {
      postMessage: (data: unknown) => {
        for (const other of ends) if (other !== end) other.dispatchEvent(new MessageEvent("message", { data: structuredClone(data) }));
      },
      addEventListener: end.addEventListener.bind(end) as BroadcastChannel["addEventListener"],
    };
  };
}

function storage() {
  const items = new Map<string, string>();
  return {
    items,
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
  };
}

const tab = (channel: ReturnType<ReturnType<typeof wire>> | null = null, store = storage()) => {
  const sessions = new SessionStore({ storage: store, channel, now: Date.now });
  return { sessions, store };
};

beforeEach(() => vi.useFakeTimers({ now: begin }));
afterEach(() => vi.useRealTimers());

describe("SessionStore", () => {
  it("is kept over a reload of its tab", () => {
    const { sessions, store } = tab();
    sessions.start(session);
    expect(tab(null, store).sessions.current()).toEqual(session);
  });

  it("is gone, in storage too, when its time is over", () => {
    const { sessions, store } = tab();
    sessions.start(session);
    vi.advanceTimersByTime(24 * 3_600_000 + 100);
    expect(sessions.state()).toMatchObject({ session: null, ended: "expired" });
    expect(store.items.size).toBe(0);
  });

  it("is not used after a sleep in which no timer fired", () => {
    const { sessions, store } = tab();
    sessions.start(session);
    vi.setSystemTime(begin + 25 * 3_600_000);
    expect(sessions.current()).toBeNull();
    expect(store.items.size).toBe(0);
  });

  it("is not taken from storage when it is over or can't be read", () => {
    for (const text of ["", "{", "null", "[]", '{"token":"x"}', JSON.stringify({ ...session, expiresAt: "2026-03-01T11:00:00Z" }), JSON.stringify({ ...session, expiresAt: "?" })]) {
      const store = storage();
      store.setItem("rekindle.session", text);
      expect(tab(null, store).sessions.current(), text).toBeNull();
      expect(store.items.size).toBe(0);
    }
  });

  it("is not ended by an answer that speaks for another token", () => {
    const { sessions } = tab();
    sessions.start(session);
    sessions.end("expired", "acme.older");
    expect(sessions.current()).toEqual(session);
  });

  it("is handed to a new tab, which asks before it leads to the login", () => {
    const join = wire();
    const first = tab(join());
    expect(first.sessions.state().asking).toBe(true);
    vi.advanceTimersByTime(askFor);
    expect(first.sessions.state()).toEqual({ session: null, asking: false, ended: null });
    first.sessions.start(session);
    expect(tab(join()).sessions.state()).toEqual({ session, asking: false, ended: null });
  });

  it("ends in all tabs that have it, and in no other", () => {
    const join = wire();
    const [a, b] = [tab(join()), tab(join())];
    const other = tab(join());
    other.sessions.start({ ...session, token: "other.secret" });
    a.sessions.end("expired", "other.secret"); // a and b took it too
    a.sessions.start(session);
    other.sessions.start({ ...session, token: "third.secret" });
    a.sessions.end("logout", session.token);
    expect(a.sessions.state().ended).toBe("logout");
    expect(b.sessions.state().ended).toBe("logout");
    expect(b.store.items.size).toBe(0);
    expect(other.sessions.current()?.token).toBe("third.secret");
  });
});

describe("safeNext", () => {
  it("leads to pages of the portal alone", () => {
    expect(safeNext("/projects/a/status?x=1")).toBe("/projects/a/status?x=1");
    for (const next of [null, "", "projects", "//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)", "/login?next=/login", "/login"]) {
      expect(safeNext(next), String(next)).toBe("/projects");
    }
  });
});
