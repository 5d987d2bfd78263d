// The Status page: live, told when it is not, and quiet when nothing happens.
import { badge, Calls, expect, heading, ids, openGate, restartButton, test, type Page } from "./fixtures";

/** Notes the page's calls as it makes them, to be counted while its clock stands still. */
async function countFetches(page: Page): Promise<(path: RegExp) => Promise<number>> {
  await page.addInitScript(() => {
    const made: string[] = [];
    (window as unknown as { made: string[] }).made = made;
    const original = window.fetch.bind(window);
    window.fetch = (input, init) => {
      made.push(new URL(input instanceof Request ? input.url : input, location.href).pathname);
      return original(input, init);
    };
  });
  return async (path) => {
    const made = await page.evaluate(() => (window as unknown as { made: string[] }).made);
    return made.filter((p) => path.test(p)).length;
  };
}

const statusPath = /\/status$/;

/** Opens a page whose time passes only when the test says so. */
async function openStopped(page: Page, path: string, label: string): Promise<void> {
  await page.clock.install();
  await page.goto(path);
  await expect(badge(page, label)).toBeVisible();
  await page.waitForLoadState("networkidle");
  await page.clock.pauseAt(Date.now() + 1_000);
}

/** Lets time pass, until the answers to what was asked in it are shown. */
async function pass(page: Page, ms: number): Promise<void> {
  await page.clock.runFor(ms);
  await page.waitForLoadState("networkidle");
}

async function hide(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate((state) => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    Object.defineProperty(document, "hidden", { value: state === "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  }, hidden ? "hidden" : "visible");
}

/** Passes so much time in small steps, each long enough for its answers, and counts the questions. */
async function questionsIn(page: Page, seconds: number, count: () => Promise<number>): Promise<number> {
  const before = await count();
  for (let passed = 0; passed < seconds; passed++) {
    const asked = await count();
    const answer = page.waitForResponse((r) => statusPath.test(new URL(r.url()).pathname));
    answer.catch(() => undefined); // no question in this second
    await page.clock.runFor(1_000);
    if ((await count()) > asked) {
      await (await answer).finished();
      await page.clock.runFor(1); // what came is taken up
    }
  }
  return (await count()) - before;
}

test("while a run is watched the page asks every two seconds", async ({ page }) => {
  const count = await countFetches(page);
  await openStopped(page, `/projects/${ids.running}/status`, "Running");
  const asked = await questionsIn(page, 20, () => count(statusPath));
  expect(asked, "questions in 20 seconds").toBeGreaterThanOrEqual(8);
  expect(asked, "questions in 20 seconds").toBeLessThanOrEqual(11);
});

for (const [id, label] of [[ids.pending, "Pending"], [ids.failed, "Failed"], [ids.completed, "Completed"]] as const) {
  test(`nothing is asked any more about a ${label.toLowerCase()} project`, async ({ page }) => {
    const count = await countFetches(page);
    for (const path of [`/projects/${id}/status`, `/projects/${id}`]) {
      await openStopped(page, path, label);
      const before = await count(/./);
      await pass(page, 600_000);
      expect(await count(/./), `calls of ${path} in ten minutes`).toBe(before);
      await page.clock.resume();
    }
  });
}

test("the questions stop when the run ends", async ({ page, api }) => {
  const gate = `ends-${Date.now()}`;
  const id = await api.create("Ends", `gate: ${gate}\nfail: as it was told`);
  await api.start(id, "run");
  const count = await countFetches(page);
  await page.clock.install();
  await page.goto(`/projects/${id}/status`);
  await expect(badge(page, "Running")).toBeVisible();
  openGate(gate);
  await api.reaches(id, "failed");
  await expect(badge(page, "Failed")).toBeVisible();
  await page.waitForLoadState("networkidle");
  await page.clock.pauseAt(Date.now() + 60_000);
  const before = await count(/./);
  await pass(page, 600_000);
  expect(await count(/./)).toBe(before);
});

test("in a hidden tab the questions become rare, and a look asks at once", async ({ page }) => {
  const count = await countFetches(page);
  await openStopped(page, `/projects/${ids.running}/status`, "Running");
  await hide(page, true);
  const asked = await questionsIn(page, 60, () => count(statusPath));
  expect(asked, "questions in a hidden minute").toBeGreaterThanOrEqual(1);
  expect(asked, "questions in a hidden minute").toBeLessThanOrEqual(8);
  const before = await count(statusPath);
  await hide(page, false);
  await page.clock.runFor(10);
  expect(await count(statusPath)).toBe(before + 1);
});

test("a service that does not answer: the page says from when what it shows is, asks ever more rarely, and recovers by itself", async ({ page }) => {
  const count = await countFetches(page);
  await page.clock.install();
  await page.goto(`/projects/${ids.running}/status`);
  await expect(badge(page, "Running")).toBeVisible();
  await page.route("**/api/**", (route) => route.abort("connectionrefused"));
  await page.clock.fastForward(2_000);
  const banner = page.getByText(/^Showing what was known at \d\d:\d\d:\d\d\. Trying again…$/);
  await expect(banner).toBeVisible();
  await expect(page.getByText("The service does not answer at the moment. Runs go on without this page.")).toBeVisible();
  await expect(badge(page, "Running")).toBeVisible();
  const before = await count(statusPath);
  await page.clock.runFor(60_000);
  expect((await count(statusPath)) - before, "questions in a minute without answers").toBeLessThanOrEqual(12);
  await page.unroute("**/api/**");
  await page.clock.fastForward(60_000);
  await expect(banner).toHaveCount(0);
});

test("offline and back: the page says so and catches up", async ({ page, context }) => {
  await page.goto(`/projects/${ids.running}/status`);
  await expect(badge(page, "Running")).toBeVisible();
  await context.setOffline(true);
  await expect(page.getByText(/^Showing what was known at/)).toBeVisible({ timeout: 30_000 });
  await context.setOffline(false);
  await expect(page.getByText(/^Showing what was known at/)).toHaveCount(0);
});

test("a run is shown as it goes: progress, message, elapsed time, heartbeat, limit and log, then its end", async ({ page, api }) => {
  const [first, second] = [`one-${Date.now()}`, `two-${Date.now()}`] as const;
  const id = await api.create("Live", `gate: ${first}\ngate: ${second}\nWelcome\nfail: the last page is missing`);
  await api.start(id, "run");
  await page.goto(`/projects/${id}/status`);
  await expect(badge(page, "Running")).toBeVisible();
  const progress = page.getByRole("progressbar", { name: "Progress" });
  await expect(page.getByText(`Waiting at ${first}`, { exact: true })).toBeVisible();
  await expect(progress).toHaveJSProperty("value", 40);
  const fact = (name: string) => page.getByRole("definition").and(page.locator(`dt:text-is("${name}") + dd`));
  await expect(fact("Elapsed")).toHaveText(/^(less than 1 s|\d+ s|\d+ min.*)$/);
  await expect(fact("Last heartbeat")).toHaveText(/ago$/);
  await expect(fact("Times out")).toHaveText(/^in 23 h 59 min/);
  await expect(page.getByRole("region", { name: "Output" })).toContainText(`waiting at ${first}`);
  openGate(first);
  await expect(page.getByText(`Waiting at ${second}`, { exact: true })).toBeVisible();
  openGate(second);
  await expect(badge(page, "Failed")).toBeVisible();
  await expect(page.getByText("the last page is missing").first()).toBeVisible();
  await expect(restartButton(page)).toBeVisible();
  await expect(page.getByRole("region", { name: "Errors" })).toContainText("the last page is missing");
  await expect(page.locator('[role="status"][aria-live="polite"]')).toContainText("The run has failed: the last page is missing");
});

test("restarting from the Status page stays there and shows the new attempt", async ({ page, api }) => {
  await page.goto(`/projects/${ids.failed}/status`);
  await expect(page.getByText("The disk was full").first()).toBeVisible();
  const calls = await Calls.to(page, /\/restart$/);
  await restartButton(page).dblclick();
  await expect(page.getByRole("dialog", { name: "The project has completed" })).toBeVisible();
  expect(calls.bodies()).toEqual([{ expected_attempt: 1 }]);
  expect((await api.status(ids.failed)).attempt).toBe(2);
});

test("completion is told in a dialog, until the user says not to show it again; of other projects it is told all the same", async ({ page, api }) => {
  const id = await api.create("Told", "Welcome");
  await api.start(id, "run");
  await api.reaches(id, "completed");
  const dialog = page.getByRole("dialog", { name: "The project has completed" });
  const open = async () => {
    await page.goto(`/projects/${id}/status`);
    await expect(page.getByRole("heading", { level: 2, name: "Completed", exact: true })).toBeAttached();
  };
  await open();
  await expect(dialog).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
  await open();
  await expect(dialog, "closed without a tick it is shown again").toBeVisible();
  await dialog.getByLabel("Don’t show again").check();
  await dialog.getByRole("button", { name: "Close" }).click();
  await open();
  await expect(dialog).toHaveCount(0);
  await page.goto(`/projects/${ids.completed}/status`);
  await expect(dialog).toBeVisible();
});

test("a restart re-arms the completion dialog", async ({ page, tenant, api }) => {
  // What is kept when the user has said not to be told of this execution again.
  const status = await api.status(ids.failed);
  await page.goto("/projects");
  await page.evaluate(([key, value]) => localStorage.setItem(key, value), [`rekindle.completion-seen.${tenant.id}.${ids.failed}`, String(status.execution_id)] as const);
  await page.goto(`/projects/${ids.failed}`);
  await restartButton(page).click();
  const dialog = page.getByRole("dialog", { name: "The project has completed" });
  await expect(dialog).toBeVisible();
  expect(await page.evaluate(() => localStorage.length), "what is kept of an earlier completion").toBe(0);
});

test("a loading page says so, and one that can't be loaded says why and tries again on demand", async ({ page }) => {
  for (const [path, what, loaded] of [
    ["/projects", "your projects", /^Projects$/],
    [`/projects/${ids.failed}`, "the project", /^Help pages$/],
    [`/projects/${ids.failed}/status`, "the status", /^Status of Help pages$/],
    [`/projects/${ids.failed}/edit`, "the project", /^Edit project$/],
  ] as const) {
    const calls = await Calls.to(page, /^\/api\/tenant\/projects/, (route) => route.fulfill({ status: 500, json: { message: "Internal Server Error" } }));
    calls.hold();
    await page.goto(path);
    await expect(page.getByText(`Loading ${what}…`)).toBeVisible();
    calls.release();
    await expect(page.getByRole("alert").filter({ hasText: `Could not load ${what}` })).toContainText("The service answered with an error (500): try again in a moment");
    await page.unrouteAll();
    await page.getByRole("button", { name: "Try again" }).first().click();
    await expect(heading(page, loaded)).toBeVisible();
    await expect(page.getByText(`Could not load ${what}`)).toHaveCount(0);
  }
});

test("an address that is nobody's and a project that is not there say so", async ({ page }) => {
  await page.goto("/no/such/page");
  await expect(heading(page, "Page not found")).toBeVisible();
  for (const path of ["/projects/never-made", "/projects/never-made/status", "/projects/never-made/edit"]) {
    await page.goto(path);
    await expect(heading(page, "Project not found")).toBeVisible();
  }
  await page.getByRole("link", { name: "Go to your projects" }).click();
  await expect(heading(page, "Projects")).toBeVisible();
});
