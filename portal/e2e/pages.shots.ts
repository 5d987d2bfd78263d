// The pictures in portal/screenshots/: each page in each state, in light and
// dark, on a desktop and on a phone (`make screenshots`). Their texts and times
// are always the same; so a picture differs when a page does.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { badge, Calls, expect, heading, ids, restartButton, runButton, signInFast, sweep, test, type Page, type Tenant } from "./fixtures";

const folder = join(import.meta.dirname, "..", "screenshots");
mkdirSync(folder, { recursive: true });

interface Shot {
  name: string;
  path: string;
  shown: (page: Page) => Promise<void>;
  /** The whole page, not the first screen of it. */
  whole?: boolean;
}

const live = { percent: 62, message: "Writing page 5 of 8" };

const shots: Shot[] = [
  { name: "list", path: "/projects", shown: (page) => expect(page.getByRole("table")).toBeVisible() },
  { name: "list-nothing-found", path: "/projects?search=winter", shown: (page) => expect(page.getByRole("heading", { name: "No project matches" })).toBeVisible() },
  { name: "new", path: "/new-project", shown: (page) => expect(page.getByLabel("Name")).toBeVisible() },
  { name: "edit", path: `/projects/${ids.pending}/edit`, shown: (page) => expect(page.getByLabel("Name")).toHaveValue("Product site") },
  { name: "project-pending", path: `/projects/${ids.pending}`, shown: (page) => expect(runButton(page)).toBeVisible(), whole: true },
  { name: "project-blocked", path: `/projects/${ids.bare}`, shown: (page) => expect(runButton(page)).toBeVisible(), whole: true },
  { name: "project-running", path: `/projects/${ids.running}`, shown: (page) => expect(page.getByRole("progressbar")).toBeVisible(), whole: true },
  { name: "project-failed", path: `/projects/${ids.failed}`, shown: (page) => expect(restartButton(page)).toBeVisible(), whole: true },
  { name: "project-completed", path: `/projects/${ids.completed}`, shown: (page) => expect(badge(page, "Completed")).toBeVisible(), whole: true },
  {
    name: "project-restarting", path: `/projects/${ids.failed}`, shown: async (page) => {
      (await Calls.to(page, /\/restart$/)).hold();
      await restartButton(page).click();
      await expect(page.getByRole("button", { name: "Restarting…" })).toBeVisible();
    },
  },
  {
    name: "project-restart-unknown", path: `/projects/${ids.failed}`, shown: async (page) => {
      await page.route("**/restart", (route) => route.abort("connectionreset"));
      await restartButton(page).click();
      await expect(page.getByRole("button", { name: "Try again" })).toBeVisible();
    },
  },
  {
    name: "cancel", path: `/projects/${ids.running}`, shown: async (page) => {
      await page.getByRole("button", { name: "Cancel run" }).click();
      await expect(page.getByRole("dialog")).toBeVisible();
    },
  },
  {
    name: "delete", path: `/projects/${ids.failed}`, shown: async (page) => {
      await page.getByRole("button", { name: "Delete" }).click();
      await expect(page.getByRole("dialog")).toBeVisible();
    },
  },
  { name: "status-running", path: `/projects/${ids.running}/status`, shown: (page) => expect(page.getByRole("region", { name: "Output" })).toBeVisible() },
  { name: "status-failed", path: `/projects/${ids.failed}/status`, shown: (page) => expect(page.getByRole("region", { name: "Errors" })).toBeVisible() },
  { name: "status-completed", path: `/projects/${ids.completed}/status`, shown: (page) => expect(page.getByRole("dialog")).toBeVisible() },
  {
    name: "status-stale", path: `/projects/${ids.running}/status`, shown: async (page) => {
      await expect(page.getByRole("region", { name: "Output" })).toBeVisible();
      await page.route("**/api/**", (route) => route.abort("connectionrefused"));
      await expect(page.getByText(/^Showing what was known at/)).toBeVisible();
    },
  },
  { name: "not-found", path: "/no/such/page", shown: (page) => expect(heading(page, "Page not found")).toBeVisible() },
  { name: "project-not-found", path: "/projects/never-made", shown: (page) => expect(heading(page, "Project not found")).toBeVisible() },
];

/** Of runs that take long. */
const longShots: Shot[] = [
  { name: "project-times-out", path: `/projects/${ids.late}`, shown: (page) => expect(page.getByRole("button", { name: "Extend…" })).toBeVisible(), whole: true },
  {
    name: "extend", path: `/projects/${ids.late}`, shown: async (page) => {
      await page.getByRole("button", { name: "Extend…" }).click();
      await expect(page.getByRole("dialog")).toBeVisible();
    },
  },
  {
    name: "status-extended", path: `/projects/${ids.late}/status`, shown: async (page) => {
      await page.getByRole("button", { name: "Extend…" }).click();
      await page.getByRole("button", { name: "Extend by 6 hours" }).click();
      await expect(page.getByText("Extended by 6 hours")).toBeVisible();
    },
  },
  { name: "project-swept", path: `/projects/${ids.overdue}`, shown: (page) => expect(page.getByText("For support: sweep").first()).toBeVisible(), whole: true },
];

// Noon of a day. What the server says is moved there, see below.
const noon = Date.parse("2026-03-02T12:00:00Z");

/** Moves the times of the server's answers to the day of the pictures, and gives its runs something to show. */
async function atNoon(page: Page, began: number, step = 60_000): Promise<void> {
  const logs: Record<string, { stdout: string; stderr: string }> = {
    [ids.running]: { stdout: "writing index.html\nwriting page-01.html\nwriting page-02.html\nwriting page-03.html\nwriting page-04.html\n", stderr: "" },
    [ids.failed]: { stdout: "writing page-01.html\n", stderr: "write page-02.html: no space left on device\nThe disk was full\n" },
    [ids.completed]: { stdout: "writing page-01.html\nwriting page-02.html\nwriting page-03.html\n", stderr: "" },
  };
  await page.route("**/api/**", async (route) => {
    const [, id = ""] = /projects\/([^/?]+)\/log/.exec(route.request().url()) ?? [];
    const log = logs[id];
    if (log !== undefined) return route.fulfill({ json: { attempt: 1, execution_id: 1, ...log } });
    const answer = await route.fetch();
    const text = (await answer.text())
      .replace(/"(\d{4}-\d\d-\d\dT[\d:.]+Z)"/g, (_, iso: string) => `"${new Date(noon + Math.round((Date.parse(iso) - began) / step) * step).toISOString()}"`)
      .replace(/"sweep_id":"[^"]*"/g, '"sweep_id":"20260302T120000.000Z-3fa94c1d"')
      .replace(/"execution_status":"running"[^]*?"progress":\{[^}]*\}/g, (part) => part.replace(/"progress":\{[^}]*\}/, `"progress":${JSON.stringify(live)}`));
    const headers = { ...answer.headers(), date: new Date(noon).toUTCString() };
    const running = id === "" && text.includes('"execution_status":"running"');
    const alive = running ? text.replace('"heartbeat_at":null', `"heartbeat_at":"${new Date(noon - 8_000).toISOString()}"`).replace('"claimed_at":null', `"claimed_at":"${new Date(noon - 599_000).toISOString()}"`) : text;
    return route.fulfill({ status: answer.status(), headers, body: alive });
  });
}

async function take(page: Page, tenant: Tenant, size: string, shot: Shot): Promise<void> {
  await signInFast(page, tenant);
  await page.evaluate(() => {
    const session = JSON.parse(sessionStorage.getItem("rekindle.session") ?? "{}") as { expiresAt: string };
    session.expiresAt = "2026-03-03T11:00:00Z";
    sessionStorage.setItem("rekindle.session", JSON.stringify(session));
  });
  await page.goto(shot.path);
  await shot.shown(page);
  await shootBoth(page, size, shot.name, shot.whole);
}

async function shootBoth(page: Page, size: string, name: string, whole = false): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.screenshot({ path: join(folder, `${name}-${size}-${colorScheme}.png`), fullPage: whole, animations: "disabled", caret: "hide" });
  }
}

const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

for (const [size, viewport] of Object.entries(sizes)) {
  test.describe(size, () => {
    test.use({ viewport });

    for (const shot of shots) {
      test(shot.name, async ({ page, tenant, api }) => {
        const { execution_started_at: started } = await api.call<{ execution_started_at: string }>("GET", `/projects/${ids.running}/status`);
        await page.clock.setFixedTime(noon);
        await atNoon(page, Date.parse(started) + 600_000);
        await take(page, tenant, size, shot);
      });
    }

    test.describe("runs that take long", () => {
      test.use({ kind: "long" });
      for (const shot of longShots) {
        test(shot.name, async ({ page, tenant, api }) => {
          await sweep();
          const { execution_completed_at: swept } = await api.call<{ execution_completed_at: string }>("GET", `/projects/${ids.overdue}/status`);
          await page.clock.setFixedTime(noon);
          // Half hours: how long the stack had been running when it was swept is not seen.
          await atNoon(page, Date.parse(swept), 1_800_000);
          await take(page, tenant, size, shot);
        });
      }
    });

    test.describe("an account without projects", () => {
      test.use({ kind: "empty" });
      test("list-empty", async ({ page }) => {
        await page.goto("/projects");
        await expect(page.getByRole("heading", { name: "No projects yet" })).toBeVisible();
        await shootBoth(page, size, "list-empty");
      });
    });

    test.describe("signed out", () => {
      test.use({ kind: "empty", signedIn: false });
      test("login", async ({ page }) => {
        await page.clock.setFixedTime(noon);
        await page.goto("/login");
        await page.getByLabel("Account name").fill("northwind");
        await shootBoth(page, size, "login");
        await page.route("**/otp/request", (route) => route.fulfill({ json: { message: "", expires_in_seconds: 600 } }));
        await page.getByRole("button", { name: "Send the code" }).click();
        await expect(page.getByLabel("Login code")).toBeVisible();
        await shootBoth(page, size, "login-code");
      });
    });
  });
}

// What is measured is printed, not judged: a busy machine is slower than a tenant's.
test("figures", async ({ page, tenant }) => {
  let bytes = 0;
  const read: Promise<void>[] = [];
  page.on("response", (response) => {
    if (response.request().resourceType() === "script") read.push(response.body().then((body) => void (bytes = gzipSync(body, { level: 9 }).length)));
  });
  await signInFast(page, tenant);
  const cache = await page.context().newCDPSession(page);
  const times: number[] = [];
  for (let visit = 0; visit < 7; visit++) {
    await cache.send("Network.clearBrowserCache");
    await page.goto("/projects");
    // It is drawn, and a click on it leads on.
    const link = page.getByRole("link", { name: "Help pages" });
    await link.waitFor();
    times.push(Math.round(await page.evaluate(() => performance.now())));
  }
  await Promise.all(read);
  const median = times.toSorted((a, b) => a - b)[3] ?? 0;
  console.log(`JavaScript of a first visit: ${bytes} bytes compressed`);
  console.log(`The list can be used after ${median} ms with an empty cache (median of ${times.join(", ")})`);
});
