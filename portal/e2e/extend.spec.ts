// Runs that take long: the warning before they time out, the one extension, and
// what the sweep leaves.
import { badge, Calls, expect, expectAccessible, expectFocusKept, heading, ids, restartButton, sweep, tabTo, test, type Page } from "./fixtures";

test.use({ kind: "long" });

const late = `/projects/${ids.late}`;
const extendButton = (page: Page) => page.getByRole("button", { name: "Extend…" });
const dialogOf = (page: Page) => page.getByRole("dialog", { name: "Extend this run" });
const fact = (page: Page, name: string) => page.locator(`dt:text-is("${name}") + dd`);
const announced = (page: Page) => page.locator('[role="status"][aria-live="polite"]');

/** Opens the dialog of a page whose questions then wait for their answers. */
async function openUnaware(page: Page): Promise<Calls> {
  const questions = await Calls.to(page, new RegExp(`/projects/${ids.late}$`));
  await page.goto(late);
  await extendButton(page).click();
  await expect(dialogOf(page)).toBeVisible();
  questions.hold();
  await questions.held(1);
  return questions;
}

test("a page that is open warns once a run can be extended, and says quietly before when it times out", async ({ page }) => {
  for (const path of [late, `${late}/status`]) {
    let early = true;
    await page.route(/\/projects\/catalogue(\/status)?$/, async (route) => {
      const answer = await route.fetch();
      const text = await answer.text();
      await route.fulfill({ response: answer, body: early ? text.replace('"can_extend":true', '"can_extend":false') : text });
    });
    await page.goto(path);
    await expect(fact(page, "Times out")).toHaveText(/^in 2 h \d\d min \(.+\)$/);
    await expect(page.getByText(/^This run times out/)).toHaveCount(0);
    await expect(extendButton(page)).toHaveCount(0);
    early = false;
    await expect(page.getByText(/^This run times out in 2 h \d\d min$/)).toBeVisible();
    await expect(page.getByText(/If it has not ended by \d\d:\d\d (today|tomorrow), it is ended as failed\. You can give it more time, once\.$/)).toBeVisible();
    await expect(announced(page)).toHaveText(/^This run times out in 2 h \d\d min\. You can extend it\.\s*$/);
    await expect(extendButton(page)).toBeVisible();
    await page.unrouteAll({ behavior: "ignoreErrors" });
  }
});

test("an extension by six hours: one request of a double click, the new time on the page, kept, and no second one", async ({ page, api }) => {
  const before = Date.parse((await api.status(ids.late)).times_out_at ?? "");
  const calls = await Calls.to(page, /\/extend$/);
  await page.goto(late);
  await extendButton(page).click();
  const dialog = dialogOf(page);
  await expect(dialog.getByLabel("6 hours")).toBeChecked();
  await expect(dialog.getByLabel("6 hours")).toBeFocused();
  await expect(dialog).toContainText("An attempt can be extended once.");
  await expect(dialog.getByText(/^It then times out at \d\d:\d\d (today|tomorrow)\.$/)).toBeVisible();
  calls.hold();
  await dialog.getByRole("button", { name: "Extend by 6 hours" }).dblclick();
  await calls.held(1);
  await expect(dialog.getByRole("button", { name: "Extending…" })).toHaveAttribute("aria-disabled", "true");
  await page.keyboard.press("Escape");
  await expect(dialog, "an extension under way is not left alone").toBeVisible();
  calls.release();
  await expect(dialog).toBeHidden();
  const notice = /^The run was extended by 6 hours: it times out at \d\d:\d\d (today|tomorrow)\./;
  await expect(page.getByRole("main").getByText(notice)).toBeVisible();
  await expect(announced(page)).toHaveText(notice);
  await expectFocusKept(page);
  expect(calls.bodies()).toEqual([{ hours: 6, expected_attempt: 1 }]);
  expect(Date.parse((await api.status(ids.late)).times_out_at ?? "") - before).toBe(6 * 3_600_000);
  for (const path of [late, `${late}/status`]) {
    await page.goto(path);
    await expect(fact(page, "Times out")).toHaveText(/^in 8 h \d\d min/);
    await expect(fact(page, "More time")).toHaveText("Extended by 6 hours");
    await expect(extendButton(page)).toHaveCount(0);
    await expect(page.getByText(/^This run times out/)).toHaveCount(0);
  }
});

test("another number of hours is typed; a wrong one is told where it is, and sends nothing", async ({ page, api }) => {
  const calls = await Calls.to(page, /\/extend$/);
  await page.goto(`${late}/status`);
  await tabTo(page, extendButton(page));
  await page.keyboard.press("Enter");
  const dialog = dialogOf(page);
  await expect(dialog.getByLabel("6 hours")).toBeFocused();
  for (let n = 0; n < 3; n++) await page.keyboard.press("ArrowDown");
  await expect(dialog.getByLabel("Other")).toBeChecked();
  const field = dialog.getByLabel("Hours", { exact: true });
  await tabTo(page, field);
  for (const wrong of ["", "25", "half"]) {
    await field.fill(wrong);
    await page.keyboard.press("Enter");
    await expect(field).toHaveAccessibleDescription(/Type a number from 1 to 24/);
    await expect(field).toBeFocused();
  }
  expect(calls.requests).toHaveLength(0);
  await field.fill("1,5");
  await expect(dialog.getByText(/^It then times out at/)).toBeVisible();
  await page.keyboard.press("Enter");
  await expect(fact(page, "More time")).toHaveText("Extended by 1 h 30 min");
  expect(calls.bodies()).toEqual([{ hours: 1.5, expected_attempt: 1 }]);
  expect((await api.status(ids.late)).execution_status).toBe("running");
});

test("Escape closes the dialog, asks for nothing, and gives the focus back", async ({ page }) => {
  const calls = await Calls.to(page, /\/extend$/);
  await page.goto(late);
  await tabTo(page, extendButton(page));
  await page.keyboard.press("Enter");
  await expect(dialogOf(page).getByLabel("6 hours")).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(dialogOf(page)).toBeHidden();
  await expect(extendButton(page)).toBeFocused();
  expect(calls.requests).toHaveLength(0);
});

test("a second extension, from another tab, is refused with the time that the run has now", async ({ page, api }) => {
  const questions = await openUnaware(page);
  await api.extend(ids.late, 12);
  await dialogOf(page).getByLabel("24 hours").check();
  const answer = page.waitForResponse(/\/extend$/);
  await dialogOf(page).getByRole("button", { name: "Extend by 24 hours" }).click();
  expect((await answer).status()).toBe(409);
  questions.release();
  await expect(dialogOf(page)).toBeHidden();
  const { times_out_at: end } = await api.status(ids.late);
  const time = (end ?? "").slice(11, 16); // the browser is in UTC
  await expect(page.getByRole("main").getByText(`Nothing was added: the run had been extended already, which is possible once. It times out at ${time} `)).toBeVisible();
  await expect(fact(page, "More time")).toHaveText("Extended by 12 hours");
});

test("a dialog that is open learns that another tab has extended the run, or ended it", async ({ page, api }) => {
  await page.goto(late);
  await extendButton(page).click();
  const button = dialogOf(page).getByRole("button", { name: "Extend by 6 hours" });
  await api.extend(ids.late, 2);
  await expect(dialogOf(page).getByText(/^The run has been extended by 2 hours, and times out at /).first()).toBeVisible();
  await expect(button).toHaveAttribute("aria-disabled", "true");
  await api.cancel(ids.late);
  await expect(dialogOf(page).getByText("The run has ended: there is nothing to extend").first()).toBeVisible();
  await expectAccessible(page, "dialog of a run that has ended");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("heading", { name: "The last run was cancelled" })).toBeVisible();
  await expectFocusKept(page);
});

test("a run that was cancelled in another tab is not extended, and the page shows it as it is", async ({ page, api }) => {
  const questions = await openUnaware(page);
  await api.cancel(ids.late);
  const answer = page.waitForResponse(/\/extend$/);
  await dialogOf(page).getByRole("button", { name: "Extend by 6 hours" }).click();
  expect((await answer).status()).toBe(400);
  questions.release();
  await expect(dialogOf(page)).toBeHidden();
  await expect(page.getByRole("main").getByText("The run had ended already: there is nothing to extend.")).toBeVisible();
  await expect(restartButton(page)).toBeVisible();
  await expectFocusKept(page);
});

test("after a lost answer the same may be asked again, and adds nothing twice", async ({ page, api }) => {
  const before = Date.parse((await api.status(ids.late)).times_out_at ?? "");
  const questions = await openUnaware(page);
  const calls = await Calls.to(page, /\/extend$/, async (route, nth) => {
    if (nth > 1) return route.continue();
    await route.fetch();
    await route.abort("connectionreset");
  });
  const button = dialogOf(page).getByRole("button", { name: "Extend by 6 hours" });
  await button.click();
  await expect(dialogOf(page).getByRole("alert")).toContainText("It is not known whether the run was extended");
  await expect(dialogOf(page).getByRole("alert")).toContainText("You can try again: nothing is added twice.");
  await button.click();
  questions.release();
  await expect(dialogOf(page)).toBeHidden();
  await expect(page.getByRole("main").getByText(/^The run was extended by 6 hours/)).toBeVisible();
  expect(calls.requests).toHaveLength(2);
  expect(Date.parse((await api.status(ids.late)).times_out_at ?? "") - before).toBe(6 * 3_600_000);
});

test("a service that is too busy says when to try again; an ended session leads to the login, and nothing is sent again", async ({ page }) => {
  const answers = [
    { status: 503, headers: { "Retry-After": "5" }, json: { detail: "The database is busy", code: "unavailable" } },
    { status: 429, json: { message: "Too Many Requests" } },
    { status: 401, json: { detail: "Session expired", code: "session_expired" } },
  ];
  const calls = await Calls.to(page, /\/extend$/, (route, nth) => route.fulfill(answers[nth - 1] ?? { status: 500 }));
  await page.goto(late);
  await extendButton(page).click();
  const button = dialogOf(page).getByRole("button", { name: "Extend by 6 hours" });
  const alert = dialogOf(page).getByRole("alert");
  await button.click();
  await expect(alert).toContainText("It is not known whether the run was extended");
  await expect(alert).toContainText("The database is busy. Try again in 5 s: nothing is added twice.");
  await button.click();
  await expect(alert).toContainText("The run was not extended");
  await button.click();
  await expect(heading(page, "Sign in")).toBeVisible();
  expect(calls.requests).toHaveLength(3);
});

test("axe finds nothing in the warning and the dialog, light or dark; on a phone they fit and can be tapped", async ({ page }) => {
  test.slow();
  await page.goto(late);
  await expect(extendButton(page)).toBeVisible();
  await expectAccessible(page, "project, warning");
  await extendButton(page).click();
  const dialog = dialogOf(page);
  await expectAccessible(page, "extend dialog");
  await dialog.getByLabel("Other").check();
  await dialog.getByRole("button", { name: "Extend", exact: true }).click();
  await expectAccessible(page, "extend dialog, wrong number");
  await expectFits(page, "extend dialog");
  for (const choice of await dialog.locator("label:has([type=radio])").all()) {
    expect((await choice.boundingBox())?.height ?? 0, "height of a choice").toBeGreaterThanOrEqual(44);
  }
  await dialog.getByRole("button", { name: "Close" }).click();
  await expectFits(page, "project, warning");
  await page.goto(`${late}/status`);
  await expect(extendButton(page)).toBeVisible();
  await expectAccessible(page, "status, warning");
});

/** Nothing sticks out of a page, on the narrowest phone and on larger ones. */
async function expectFits(page: Page, what: string): Promise<void> {
  for (const width of [320, 390, 768]) {
    await page.setViewportSize({ width, height: 800 });
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const over = await page.evaluate(() => {
      const inside = document.querySelector("dialog[open]") ?? document.body;
      return [...inside.querySelectorAll("*")]
        .filter((e) => e.closest("pre, .visually-hidden") === null && e.getBoundingClientRect().width > 0 && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map((e) => e.outerHTML.slice(0, 100));
    });
    expect(over, `${what} at ${width} px`).toEqual([]);
  }
}

// The one test that sweeps: what it fails is every tenant's.
test("the sweep fails a run that took too long; the open page says when, why, by which sweep and when it was last heard of, and restarts it", async ({ page, api }) => {
  test.slow();
  await page.goto(`/projects/${ids.overdue}`);
  await expect(page.getByText("The time of this run is over")).toBeVisible();
  await expect(extendButton(page)).toHaveCount(0);
  await expectAccessible(page, "project, time over");
  await sweep();
  await expect(page.getByRole("heading", { name: "The last run took too long" })).toBeVisible();
  const [attempt] = (await api.status(ids.overdue)).attempts;
  const { sweep_id: id, at } = attempt?.swept ?? { sweep_id: "none", at: "" };
  expect(id).toMatch(/^\d{8}T/);
  const panel = page.getByRole("region", { name: "The last run took too long" });
  const row = page.getByRole("table", { name: "Attempts, newest first" });
  for (const place of [panel, row]) {
    await expect(place).toContainText(/Failed by the hourly check on .+, because it had been running since .+, longer than allowed: it had started before .+\. No sign of life ever came\./);
    await expect(place.locator(`time[datetime="${at}"]`).first()).toBeVisible();
    await expect(place).toContainText(`For support: sweep ${id}`);
  }
  await panel.getByText(id).click();
  expect(await page.evaluate(() => getSelection()?.toString().trim()), "what a click on the id selects").toBe(id);
  await expectAccessible(page, "project, swept");
  await expectFits(page, "project, swept");
  await page.setViewportSize({ width: 1280, height: 800 });

  // A run that was heard of, as a runner's heartbeats leave it.
  await page.route(/\/projects\/archive\/status$/, async (route) => {
    const answer = await route.fetch();
    const beat = new Date(Date.parse(at) - 40 * 60_000).toISOString();
    await route.fulfill({ response: answer, body: (await answer.text()).replaceAll('"heartbeat_at":null', `"heartbeat_at":"${beat}"`) });
  });
  await page.goto(`/projects/${ids.overdue}/status`);
  await expect(page.getByRole("region", { name: "The last run took too long" })).toContainText(/Last sign of life: \d/);
  await expect(badge(page, "Failed")).toBeVisible();
  await page.unrouteAll({ behavior: "ignoreErrors" });

  await restartButton(page).click();
  await expect(page.getByRole("dialog", { name: "The project has completed" })).toBeVisible();
  await page.goto(`/projects/${ids.overdue}`);
  await expect(badge(page, "Completed")).toBeVisible();
  await expect(row).toContainText(`For support: sweep ${id}`);
});
