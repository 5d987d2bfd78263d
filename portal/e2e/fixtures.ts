// What every browser test begins with: a tenant of its own, and a page that is
// watched for what must never happen.
import { test as base, expect, type BrowserContext, type Locator, type Page, type Request, type Route } from "@playwright/test";
import axe, { type AxeResults } from "axe-core";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Kind, Tenant } from "./seed";
import type { Stack } from "./setup";

export { expect };
export { ids } from "./seed";
export type { BrowserContext, Locator, Page, Request, Route, Tenant };

export const stack = JSON.parse(process.env.REKINDLE_E2E ?? "null") as Stack;

interface Fixtures {
  /** Which kind of tenant the test takes. */
  kind: Kind;
  tenant: Tenant;
  /** A page on which the tenant is signed in, before its first address. */
  page: Page;
  /** False for a test that begins at the login. */
  signedIn: boolean;
  /** The API, as another client of the tenant calls it. */
  api: Api;
}

export const test = base.extend<Fixtures>({
  kind: ["standard", { option: true }],
  signedIn: [true, { option: true }],
  baseURL: async ({}, use) => use(stack.url),
  tenant: async ({ kind }, use) => use(take(kind)),
  context: async ({ context, tenant }, use) => {
    const problems: string[] = [];
    guard(context, tenant, problems);
    await use(context);
    // What a page asks at the very end is not answered any more.
    await context.unrouteAll({ behavior: "ignoreErrors" });
    for (const page of context.pages()) {
      await page.unrouteAll({ behavior: "ignoreErrors" });
      const kept = await page.evaluate(() => Object.values(localStorage).join() + document.cookie).catch(() => "");
      if (holdsToken(kept, tenant)) problems.push("a token in localStorage or a cookie");
    }
    expect(problems, "what must never happen on a page").toEqual([]);
  },
  page: async ({ page, tenant, signedIn }, use) => {
    if (signedIn) await signInFast(page, tenant);
    await use(page);
  },
  api: async ({ tenant }, use) => use(new Api(tenant)),
});

/** Takes a tenant that no other test has: a folder can be made once. */
function take(kind: Kind): Tenant {
  const all = stack.tenants[kind];
  if (kind === "thousand" && all[0] !== undefined) return all[0]; // its tests change nothing
  for (const tenant of all) {
    try {
      mkdirSync(join(stack.taken, tenant.id));
      return tenant;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
  throw new Error(`more tests than ${kind} tenants: raise their count in e2e/seed.ts`);
}

const holdsToken = (text: string, tenant: Tenant) => text.includes(tenant.token) || new RegExp(`${tenant.id}\\.[A-Za-z0-9_-]{20,}`).test(text);

/**
 * Notes what must not happen on any page of a context: an error in the console
 * (a violated Content-Security-Policy is one), a dialog of a script that a text
 * smuggled in, and the session's token in a URL or the console.
 */
function guard(context: BrowserContext, tenant: Tenant, problems: string[]): void {
  context.on("console", (message) => {
    const text = message.text();
    if (holdsToken(text, tenant)) problems.push("a token in the console");
    // The browser itself notes each refusal and each lost connection.
    if (["error", "warning"].includes(message.type()) && !text.startsWith("Failed to load resource")) problems.push(`console: ${text}`);
  });
  context.on("weberror", (error) => problems.push(`uncaught: ${error.error().message}`));
  context.on("dialog", (dialog) => {
    problems.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  const url = (where: string, text: string) => {
    if (holdsToken(decodeURIComponent(text), tenant)) problems.push(`a token in ${where}`);
  };
  context.on("request", (request) => url("a request's URL", request.url()));
  context.on("page", (page) => page.on("framenavigated", (frame) => url("an address", frame.url())));
}

/** Puts a session of the seed where the portal keeps one, as a tab has it after a login. */
export async function signInFast(page: Page, tenant: Tenant): Promise<void> {
  await page.goto("/favicon.svg");
  await page.evaluate(
    (session) => sessionStorage.setItem("rekindle.session", JSON.stringify(session)),
    {
      token: tenant.token, expiresAt: new Date(Date.now() + 23 * 3_600_000).toISOString(),
      tenantId: tenant.id, tenantSlug: tenant.slug, tenantName: tenant.name,
    },
  );
}

/** The login code of the newest mail to a tenant, once there are so many. */
export async function mailedCode(tenant: Tenant, mails = 1): Promise<string> {
  const mine = () => {
    try {
      return readdirSync(stack.mail).filter((name) => name.endsWith(`-${tenant.email}.txt`)).sort();
    } catch {
      return []; // no mail yet, of anybody
    }
  };
  await expect.poll(() => mine().length, { message: `mails to ${tenant.email}` }).toBeGreaterThanOrEqual(mails);
  let code: string | undefined;
  await expect.poll(() => {
    code = /^[0-9]{6}/m.exec(readFileSync(join(stack.mail, mine().at(-1) ?? ""), "utf8"))?.[0];
    return code;
  }, { message: "a login code in the mail" }).toBeDefined();
  return code ?? "";
}

/** Signs in as a user does, on the page of the login. */
export async function signInByMail(page: Page, tenant: Tenant, mails = 1): Promise<void> {
  await page.getByLabel("Account name").fill(tenant.slug);
  await page.getByRole("button", { name: "Send the code" }).click();
  await page.getByLabel("Login code").fill(await mailedCode(tenant, mails));
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** The operator's command line; returns what it prints. */
export function rekindlectl(...args: string[]): string {
  return execFileSync(stack.rekindlectl, [`--local=${stack.data}`, ...args], { encoding: "utf8" });
}

/** An activation code that nothing has been given yet. */
export function issueCode(): string {
  const [code] = rekindlectl("code", "issue").match(/[0-9A-Z]{4}(-[0-9A-Z]{4}){3}/) ?? [];
  if (code === undefined) throw new Error("rekindlectl code issue printed no code");
  return code;
}

/** Lets the runs pass that wait at a gate (see command.mjs). */
export const openGate = (name: string) => writeFileSync(join(stack.gates, name), "");

export interface StatusAnswer {
  execution_status: string;
  execution_id: number | null;
  attempt: number;
  execution_error: string | null;
  times_out_at: string | null;
  attempts: { attempt: number; swept: { sweep_id: string; at: string } | null }[];
}

/** Sweeps now. It fails what runs for too long, of every tenant. */
export async function sweep(): Promise<void> {
  const answer = await fetch(`${stack.url}/2015-03-31/functions/CleanupFunction/invocations`, { method: "POST" });
  expect([answer.status, answer.headers.get("X-Amz-Function-Error")], await answer.text()).toEqual([200, null]);
}

/** The API, without the portal. */
export class Api {
  constructor(private readonly tenant: Tenant) {}

  async call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
    const response = await fetch(`${stack.url}/api/tenant${path}`, {
      method,
      headers: { "X-Session-Token": this.tenant.token, "Content-Type": "application/json", ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  status(projectId: string): Promise<StatusAnswer> {
    return this.call("GET", `/projects/${projectId}/status`);
  }

  /** Makes a project that can be run, and returns its id. */
  async create(name: string, objectives: string, description = "What it is about"): Promise<string> {
    const { project_id: id } = await this.call<{ project_id: string }>("POST", "/projects", { name, description, objectives });
    await this.call("POST", `/projects/${id}/activation-code`, { code: issueCode() });
    return id;
  }

  async edit(projectId: string, texts: { name: string; description: string; objectives: string }): Promise<void> {
    await this.call("PUT", `/projects/${projectId}`, texts, { "If-Match": "*" });
  }

  /** Runs or restarts a project. */
  async start(projectId: string, operation: "run" | "restart"): Promise<void> {
    await this.call("POST", `/projects/${projectId}/${operation}`);
  }

  async cancel(projectId: string): Promise<void> {
    await this.call("POST", `/projects/${projectId}/cancel`);
  }

  async extend(projectId: string, hours: number): Promise<void> {
    await this.call("POST", `/projects/${projectId}/extend`, { hours });
  }

  /** Waits until a project has a status. */
  async reaches(projectId: string, status: string): Promise<StatusAnswer> {
    await expect.poll(async () => (await this.status(projectId)).execution_status, { message: `status of ${projectId}`, timeout: 20_000 }).toBe(status);
    return this.status(projectId);
  }
}

/** The calls of one kind that a page has made, and what it is to meet. */
export class Calls {
  readonly requests: Request[] = [];
  #held: (() => void)[] = [];
  #holding = false;
  #arrived: (() => void)[] = [];

  private constructor(readonly path: RegExp) {}

  /** Watches the calls to a path of the API. */
  static async to(target: Page | BrowserContext, path: RegExp, answer: (route: Route, nth: number) => Promise<void> = (route) => route.continue()): Promise<Calls> {
    const calls = new Calls(path);
    await target.route((url) => path.test(url.pathname), async (route) => {
      const nth = calls.requests.push(route.request());
      if (calls.#holding) {
        await new Promise<void>((resolve) => {
          calls.#held.push(resolve);
          for (const tell of calls.#arrived.splice(0)) tell();
        });
      }
      await answer(route, nth);
    });
    return calls;
  }

  /** From now on calls wait for their answer. */
  hold(): void {
    this.#holding = true;
  }

  /** Waits until so many are held. */
  async held(n: number): Promise<void> {
    while (this.#held.length < n) await new Promise<void>((resolve) => this.#arrived.push(resolve));
  }

  release(): void {
    this.#holding = false;
    for (const go of this.#held.splice(0)) go();
  }

  keys(): (string | undefined)[] {
    return this.requests.map((r) => r.headers()["idempotency-key"]);
  }

  bodies(): unknown[] {
    return this.requests.map((r) => r.postDataJSON() as unknown);
  }
}

const standards = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** Holds what a page shows to axe's rules, in both colour schemes. */
export async function expectAccessible(page: Page, what: string): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(async () => {
      await new Promise(requestAnimationFrame); // the scheme has been applied
      for (const animation of document.getAnimations()) {
        if (animation.effect?.getComputedTiming().iterations !== Infinity) animation.finish();
      }
    });
    await page.evaluate(axe.source);
    const found = await page.evaluate(
      async (values) => {
        const { axe: engine } = window as unknown as { axe: typeof axe };
        const result: AxeResults = await engine.run(document, { runOnly: { type: "tag", values }, resultTypes: ["violations"] });
        return result.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.target.join(" ")} (${n.failureSummary ?? ""})`).join("; ")}`);
      },
      standards,
    );
    expect(found, `axe, ${what}, ${colorScheme}`).toEqual([]);
  }
}

/** Moves the focus with the Tab key until an element has it. */
export async function tabTo(page: Page, target: Locator): Promise<void> {
  await expect(target).toBeVisible();
  for (let presses = 0; presses < 60; presses++) {
    if (await target.evaluate((element) => element === document.activeElement)) {
      const visible = await target.evaluate((element) => {
        const style = getComputedStyle(element);
        return element.matches(":focus-visible") && (style.outlineStyle !== "none" || style.boxShadow !== "none");
      });
      expect(visible, "the focus is seen").toBe(true);
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error(`60 presses of Tab did not reach ${target.toString()}`);
}

/** The element that has the focus; the focus must be on some element of the page. */
export async function expectFocusKept(page: Page): Promise<void> {
  await expect.poll(() => page.evaluate(() => document.activeElement !== null && document.activeElement !== document.body), { message: "the focus is on an element of the page" }).toBe(true);
}

export const runButton = (page: Page) => page.getByRole("button", { name: "▶ RUN PROJECT" });
export const restartButton = (page: Page) => page.getByRole("button", { name: "🔄 RESTART PROJECT" });
export const heading = (page: Page, name: string | RegExp) => page.getByRole("heading", { level: 1, name });
/** The status beside the heading of a page. */
export const badge = (page: Page, label: string) => page.locator("main h1 + span").getByText(label, { exact: true });

