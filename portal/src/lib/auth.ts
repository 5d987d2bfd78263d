// The API's calls about signing in and out.

import { ApiError, request, sessions } from "./api";
import type { components } from "./openapi";

type Schemas = components["schemas"];
export type Account = Schemas["Session"];

/** Sends a login code to the account's mail address. */
export function requestCode(slug: string): Promise<Schemas["LoginCodeSent"]> {
  return request("/api/tenant/auth/otp/request", { method: "POST", body: { tenant_slug: slug }, signedIn: false });
}

/** Begins a session with a login code. */
export async function signIn(slug: string, code: string): Promise<void> {
  const begun = await request<Schemas["SessionStarted"]>("/api/tenant/auth/otp/verify", {
    method: "POST",
    body: { tenant_slug: slug, code },
    signedIn: false,
  });
  sessions.start({
    token: begun.session_token,
    expiresAt: begun.expires_at,
    tenantId: begun.tenant_id,
    tenantSlug: begun.tenant_slug,
    tenantName: begun.tenant_name,
  });
}

/** Whose session it is, and what its subscription allows. */
export function getAccount(signal?: AbortSignal): Promise<Account> {
  return request("/api/tenant/auth/session", { signal });
}

/**
 * Ends the session here in any case. One that the server has ended already is as
 * dead as was wanted; one that the server could not be told of ends there by
 * itself, and the login says so.
 */
export async function signOut(): Promise<void> {
  const session = sessions.current();
  if (session === null) return;
  try {
    await request("/api/tenant/auth/logout", { method: "POST", endsSession: false });
    sessions.end("logout", session.token);
  } catch (error) {
    const gone = error instanceof ApiError && error.status === 401;
    sessions.end(gone ? "logout" : "logout-unconfirmed", session.token);
  }
}
