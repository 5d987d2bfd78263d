// Who is signed in. The token lives in memory and in sessionStorage, which ends
// with the tab; it is in no URL, no log and no localStorage. Tabs of one browser
// hand it to each other over a BroadcastChannel, so that a second tab need not
// ask for one of the few login codes of an hour.

import { useSyncExternalStore } from "react";

export interface Session {
  token: string;
  /** RFC 3339, by the server's clock. */
  expiresAt: string;
  tenantId: string;
  tenantSlug: string;
  tenantName: string;
}

/** Why there is no session any more. */
export type EndReason =
  | "expired" // the server said so, or its time was over
  | "logout"
  | "logout-unconfirmed"; // logged out here, but the server could not be told

export interface SessionState {
  session: Session | null;
  /** True while other tabs are asked for theirs, at the beginning. */
  asking: boolean;
  /** Why the last session ended; null at first and while signed in. */
  ended: EndReason | null;
}

const storageKey = "rekindle.session";

/** How long a new tab waits for another one's answer, in milliseconds. */
export const askFor = 150;

type Message = { type: "ask" } | { type: "session"; session: Session } | { type: "ended"; token: string; reason: EndReason };

/** What a store needs of its surroundings; tests bring their own. */
export interface Surroundings {
  storage: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  channel: Pick<BroadcastChannel, "postMessage" | "addEventListener"> | null;
  now: () => number;
}

export class SessionStore {
  readonly #around: Surroundings;
  readonly #listeners = new Set<() => void>();
  #state: SessionState = { session: null, asking: false, ended: null };
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(around: Surroundings) {
    this.#around = around;
    const stored = readSession(around.storage.getItem(storageKey));
    if (stored !== null && this.#left(stored) > 0) this.#adopt(stored);
    else around.storage.removeItem(storageKey);
    around.channel?.addEventListener("message", (event) => this.#hear((event as MessageEvent<Message>).data));
    if (this.#state.session === null && around.channel !== null) {
      this.#set({ session: null, asking: true, ended: null });
      this.#send({ type: "ask" });
      setTimeout(() => {
        if (this.#state.asking) this.#set({ ...this.#state, asking: false });
      }, askFor);
    }
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly state = (): SessionState => this.#state;

  /** The session, unless its time is over. A machine that slept fires no timer. */
  current(): Session | null {
    const session = this.#state.session;
    if (session !== null && this.#left(session) <= 0) {
      this.end("expired", session.token);
      return null;
    }
    return session;
  }

  /** Begins a session, in the other tabs that have none too. */
  start(session: Session): void {
    this.#adopt(session);
    this.#send({ type: "session", session });
  }

  /**
   * Ends the session that has a token. Another one is left alone: an answer that
   * comes late speaks for a session that has been replaced.
   */
  end(reason: EndReason, token: string): void {
    if (this.#state.session?.token !== token) return;
    this.#drop(reason);
    this.#send({ type: "ended", token, reason });
  }

  #left(session: Session): number {
    const end = Date.parse(session.expiresAt);
    return Number.isNaN(end) ? 0 : end - this.#around.now();
  }

  #adopt(session: Session): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.current(), Math.max(0, this.#left(session)) + 50);
    this.#around.storage.setItem(storageKey, JSON.stringify(session));
    this.#set({ session, asking: false, ended: null });
  }

  #drop(reason: EndReason): void {
    clearTimeout(this.#timer);
    this.#around.storage.removeItem(storageKey);
    this.#set({ session: null, asking: false, ended: reason });
  }

  #hear(message: Message): void {
    const session = this.#state.session;
    if (message.type === "ask" && session !== null) this.#send({ type: "session", session });
    if (message.type === "session" && session === null && this.#left(message.session) > 0) this.#adopt(message.session);
    if (message.type === "ended" && session?.token === message.token) this.#drop(message.reason);
  }

  #send(message: Message): void {
    this.#around.channel?.postMessage(message);
  }

  #set(state: SessionState): void {
    this.#state = state;
    for (const listener of [...this.#listeners]) listener();
  }
}

function readSession(text: string | null): Session | null {
  if (text === null) return null;
  try {
    const value = JSON.parse(text) as Partial<Record<keyof Session, unknown>> | null;
    const { token, expiresAt, tenantId, tenantSlug, tenantName } = value ?? {};
    if (
      typeof token === "string" && typeof expiresAt === "string" && typeof tenantId === "string" &&
      typeof tenantSlug === "string" && typeof tenantName === "string"
    ) {
      return { token, expiresAt, tenantId, tenantSlug, tenantName };
    }
  } catch {
    // Not ours, or cut off: as good as none.
  }
  return null;
}

/** Where a user goes after signing in: a path of this portal, or the list. */
export function safeNext(next: string | null): string {
  if (next === null || !next.startsWith("/")) return "/projects";
  const origin = "http://portal.invalid";
  let url: URL;
  try {
    url = new URL(next, origin);
  } catch {
    return "/projects";
  }
  if (url.origin !== origin || url.pathname === "/login" || url.pathname.startsWith("//")) return "/projects";
  return url.pathname + url.search + url.hash;
}

export function useSessionState(store: SessionStore): SessionState {
  return useSyncExternalStore(store.subscribe, store.state);
}
