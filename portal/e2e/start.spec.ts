// Running, restarting and cancelling: which button there is, what a press sends,
// and what the page says of the answer.
import { badge, Calls, expect, expectFocusKept, heading, ids, issueCode, openGate, rekindlectl, restartButton, runButton, signInByMail, signInFast, test, type Page } from "./fixtures";

const bothButtons = async (page: Page) => ({ run: await runButton(page).count(), restart: await restartButton(page).count() });

test("RUN is there for pending projects alone, RESTART for failed ones, and never both", async ({ page }) => {
  for (const [id, label, want] of [
    [ids.pending, "Pending", { run: 1, restart: 0 }],
    [ids.failed, "Failed", { run: 0, restart: 1 }],
    [ids.running, "Running", { run: 0, restart: 0 }],
    [ids.completed, "Completed", { run: 0, restart: 0 }],
  ] as const) {
    for (const path of [`/projects/${id}`, `/projects/${id}/status`]) {
      await page.goto(path);
      await expect(badge(page, label)).toBeVisible();
      expect(await bothButtons(page), path).toEqual(want);
    }
  }
});

test("a project that was just created has the RUN button, blocked until it has a code", async ({ page }) => {
  await page.goto("/new-project");
  await page.getByLabel("Name").fill("Brand new");
  await page.getByRole("button", { name: "Create project" }).click();
  await expect(badge(page, "Pending")).toBeVisible();
  expect(await bothButtons(page)).toEqual({ run: 1, restart: 0 });
  await expect(runButton(page)).toHaveAttribute("aria-disabled", "true");
  await page.getByLabel("Code", { exact: true }).fill(issueCode());
  await page.getByRole("button", { name: "Assign code" }).click();
  await expect(runButton(page)).toHaveAccessibleDescription("The project has no description: fill it in to run the project");
});

test("RUN is green and RESTART is orange", async ({ page }) => {
  const hue = (text: string) => {
    const [r = 0, g = 0, b = 0] = (text.match(/[\d.]+/g) ?? []).map(Number);
    const most = Math.max(r, g, b);
    const span = most - Math.min(r, g, b);
    const sixth = most === r ? (g - b) / span : most === g ? (b - r) / span + 2 : (r - g) / span + 4;
    return Math.round((sixth * 60 + 360) % 360);
  };
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    for (const [id, button, from, to] of [
      [ids.pending, runButton(page), 100, 160],
      [ids.failed, restartButton(page), 15, 45],
    ] as const) {
      await page.goto(`/projects/${id}`);
      const got = hue(await button.evaluate((element) => getComputedStyle(element).backgroundColor));
      expect(got, `hue of ${id} in ${colorScheme}`).toBeGreaterThanOrEqual(from);
      expect(got, `hue of ${id} in ${colorScheme}`).toBeLessThanOrEqual(to);
    }
  }
});

test("a blocked button says why, to the eye and to a screen reader, and sends nothing", async ({ page, tenant }) => {
  const calls = await Calls.to(page, /\/(run|restart)$/);
  const says = async (id: string, reason: string) => {
    await page.goto(`/projects/${id}`);
    const button = page.getByRole("button", { name: /R(UN|ESTART) PROJECT/ });
    await expect(button).toHaveAttribute("aria-disabled", "true");
    await expect(button).toHaveAccessibleDescription(reason);
    const tip = page.getByRole("tooltip").filter({ hasText: reason });
    await page.mouse.move(0, 0);
    await expect(tip).toBeHidden();
    await button.hover();
    await expect(tip).toBeVisible();
    await page.mouse.move(0, 0);
    await button.focus();
    await expect(tip).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(tip).toBeHidden();
    await page.keyboard.press("Enter");
    // A blocked button is aria-disabled, and a click on it does arrive.
    await button.click({ force: true });
  };
  await says(ids.bare, "The project has no activation code: assign one to run it");
  rekindlectl("tenant", "set-subscription", tenant.id, "past_due");
  await says(ids.pending, "Your subscription is past due: settle the open invoice to create and run projects");
  await says(ids.failed, "Your subscription is past due: settle the open invoice to create and run projects");
  expect(calls.requests).toEqual([]);
});

for (const [operation, id, button, busy] of [
  ["restart", ids.failed, restartButton, "Restarting…"],
  ["run", ids.pending, runButton, "Starting…"],
] as const) {
  test(`${operation}: the button is busy while the request is under way, and a success opens the Status page`, async ({ page }) => {
    const calls = await Calls.to(page, new RegExp(`/${operation}$`));
    calls.hold();
    await page.goto(`/projects/${id}`);
    await button(page).click();
    await calls.held(1);
    const pressed = page.getByRole("button", { name: busy });
    await expect(pressed).toHaveAttribute("aria-disabled", "true");
    await expect(pressed).toHaveAttribute("aria-busy", "true");
    await expect(pressed).toBeFocused();
    await pressed.click({ force: true });
    await page.keyboard.press("Enter");
    await page.keyboard.press("Space");
    calls.release();
    await expect(page).toHaveURL(`/projects/${id}/status`);
    await expectFocusKept(page);
    expect(calls.requests).toHaveLength(1);
  });

  for (const [how, press] of [
    ["a double click", async (page: Page) => button(page).dblclick()],
    ["Enter-Enter", async (page: Page) => {
      await button(page).focus();
      await page.keyboard.press("Enter");
      await page.keyboard.press("Enter");
    }],
    ["two clicks in one task", async (page: Page) => button(page).evaluate((element: HTMLElement) => {
      element.click();
      element.click();
    })],
  ] as const) {
    test(`${operation}: ${how} gives one request with one Idempotency-Key and the attempt that the page shows`, async ({ page, api }) => {
      const before = await api.status(id);
      const calls = await Calls.to(page, new RegExp(`/${operation}$`));
      calls.hold();
      await page.goto(`/projects/${id}`);
      await press(page);
      await calls.held(1);
      calls.release();
      await expect(page).toHaveURL(`/projects/${id}/status`);
      expect(calls.keys()).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
      expect(calls.bodies()).toEqual([{ expected_attempt: before.attempt }]);
      const after = await api.reaches(id, "completed");
      expect(after.attempt).toBe(before.attempt + 1);
    });
  }

  test(`${operation}: after a fault of the network the key is kept, and another press has another`, async ({ page, api }) => {
    const before = await api.status(id);
    const calls = await Calls.to(page, new RegExp(`/${operation}$`), (route, nth) => (nth === 1 ? route.abort("connectionreset") : route.continue()));
    await page.goto(`/projects/${id}`);
    await button(page).click();
    await expect(page.getByRole("alert")).toContainText("It is not known whether the project was");
    await expect(page.getByRole("alert")).toContainText("Trying again is safe: nothing starts twice.");
    await page.getByRole("button", { name: "Try again" }).click();
    await expect(page).toHaveURL(`/projects/${id}/status`);
    const [first, second] = calls.keys();
    expect(calls.requests).toHaveLength(2);
    expect(second).toBe(first);
    expect((await api.reaches(id, "completed")).attempt).toBe(before.attempt + 1);
  });
}

test("a press whose answer is lost on its way started one execution, and the page shows it", async ({ page, api }) => {
  const calls = await Calls.to(page, /\/restart$/, async (route) => {
    await route.fetch();
    await route.abort("connectionreset");
  });
  await page.goto(`/projects/${ids.failed}`);
  await restartButton(page).click();
  await expect(page.getByText("The project is at attempt 2 now")).toBeVisible();
  await expect(page.getByText("The answer to your press was lost on its way.")).toBeVisible();
  expect(calls.requests).toHaveLength(1);
  expect((await api.reaches(ids.failed, "completed")).attempt).toBe(2);
});

test("an error of the server keeps the key; a definite refusal does not", async ({ page }) => {
  const answers = [
    { status: 503, json: { detail: "The service is busy", code: "unavailable" } },
    { status: 400, json: { detail: "Your subscription is unpaid: pay it to create and run projects", code: "subscription_inactive" } },
  ];
  const calls = await Calls.to(page, /\/restart$/, (route, nth) => {
    const answer = answers[nth - 1];
    return answer === undefined ? route.continue() : route.fulfill(answer);
  });
  await page.goto(`/projects/${ids.failed}`);
  await restartButton(page).click();
  await expect(page.getByRole("alert")).toContainText("The service is busy");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByRole("alert")).toContainText("The project was not restarted");
  await expect(page.getByRole("alert")).toContainText("Your subscription is unpaid");
  await restartButton(page).click();
  await expect(page).toHaveURL(`/projects/${ids.failed}/status`);
  const [first, second, third] = calls.keys();
  expect(second).toBe(first);
  expect(third).not.toBe(second);
});

test("a restart of what somebody else has restarted meanwhile starts nothing; the page is refreshed and says what happened", async ({ page, api }) => {
  const gate = `other-${ids.failed}-${Date.now()}`;
  const id = await api.create("Shared", "fail: for a start");
  await api.start(id, "run");
  await api.reaches(id, "failed");
  await page.goto(`/projects/${id}`);
  await expect(restartButton(page)).toBeVisible();
  await api.edit(id, { name: "Shared", description: "d", objectives: `gate: ${gate}` });
  await api.start(id, "restart");
  await restartButton(page).click();
  await expect(page.getByText("The project has changed since this page showed it")).toBeVisible();
  await expect(page.getByText(/It is at attempt 2 now.* running/)).toBeVisible();
  await expect(badge(page, "Running")).toBeVisible();
  await expect(page).toHaveURL(`/projects/${id}`);
  expect((await api.status(id)).attempt).toBe(2);
  openGate(gate);
});

test("a run of what has been run meanwhile starts nothing, and the page says what happened", async ({ page, api }) => {
  await page.goto(`/projects/${ids.breaking}`);
  await expect(runButton(page)).toBeVisible();
  await api.start(ids.breaking, "run");
  await api.reaches(ids.breaking, "failed");
  await runButton(page).click();
  await expect(page.getByText(/It is at attempt 1 now.* failed/)).toBeVisible();
  await expect(badge(page, "Failed")).toBeVisible();
  expect(await bothButtons(page)).toEqual({ run: 0, restart: 1 });
  expect((await api.status(ids.breaking)).attempt).toBe(1);
});

test("two tabs that restart one project at once start it once, and the other one is told", async ({ page, context, tenant, api }) => {
  const other = await context.newPage();
  await signInFast(other, tenant);
  const calls = await Calls.to(context, /\/restart$/);
  calls.hold();
  for (const tab of [page, other]) {
    await tab.goto(`/projects/${ids.failed}`);
    await expect(restartButton(tab)).toBeVisible();
  }
  await Promise.all([restartButton(page).click(), restartButton(other).click()]);
  await calls.held(2);
  calls.release();
  const [one, two] = calls.keys();
  expect(one).not.toBe(two);
  expect(calls.bodies()).toEqual([{ expected_attempt: 1 }, { expected_attempt: 1 }]);
  const refused = (tab: Page) => tab.getByText("The project has changed since this page showed it");
  for (const tab of [page, other]) await expect(refused(tab).or(heading(tab, /^Status of/))).toBeVisible();
  const told = await Promise.all([page, other].map((tab) => refused(tab).count()));
  expect(told.toSorted(), "in how many of the tabs the press was refused").toEqual([0, 1]);
  const status = await api.reaches(ids.failed, "completed");
  expect(status.attempt).toBe(2);
  expect(status.attempts).toHaveLength(2);
});

test("cancelling asks first, sends the attempt that was shown, and says what became of it", async ({ page, api }) => {
  const calls = await Calls.to(page, /\/cancel$/);
  await page.goto(`/projects/${ids.running}`);
  await page.getByRole("button", { name: "Cancel run" }).click();
  const dialog = page.getByRole("dialog", { name: "Cancel this run?" });
  await dialog.getByRole("button", { name: "Keep it running" }).click();
  await expect(dialog).toBeHidden();
  await expect(page.getByRole("button", { name: "Cancel run" })).toBeFocused();
  expect(calls.requests).toEqual([]);

  await page.getByRole("button", { name: "Cancel run" }).click();
  calls.hold();
  await dialog.getByRole("button", { name: "Cancel the run" }).dblclick();
  await calls.held(1);
  await expect(dialog.getByRole("button", { name: "Cancelling…" })).toHaveAttribute("aria-disabled", "true");
  calls.release();
  await expect(page.getByText("The run was cancelled.").first()).toBeVisible();
  await expect(badge(page, "Failed")).toBeVisible();
  await expect(page.getByRole("heading", { name: "The last run was cancelled" })).toBeVisible();
  expect(calls.bodies()).toEqual([{ expected_attempt: 2 }]);
  expect((await api.status(ids.running)).execution_status).toBe("failed");
});

test("a cancel that comes after the end, or speaks for an older attempt, cancels nothing and says so", async ({ page, api }) => {
  const gates = [`first-${Date.now()}`, `second-${Date.now()}`] as const;
  const id = await api.create("Late cancel", `gate: ${gates[0]}\nfail: at the end`);
  await api.start(id, "run");
  await page.clock.install();
  await page.goto(`/projects/${id}/status`);
  await page.getByRole("button", { name: "Cancel run" }).click();
  // The page's clock stands still, so it does not ask how the run fares.
  await page.clock.pauseAt(Date.now() + 60_000);
  openGate(gates[0]);
  await api.reaches(id, "failed");
  await api.edit(id, { name: "Late cancel", description: "d", objectives: `gate: ${gates[1]}` });
  await api.start(id, "restart");
  await page.getByRole("button", { name: "Cancel the run" }).click();
  await expect(page.getByText("Nothing was cancelled: another attempt has begun since.").first()).toBeAttached();
  await page.clock.resume();
  await expect(page.getByRole("heading", { name: "Running, attempt 2" })).toBeVisible();
  await page.getByRole("button", { name: "Cancel run" }).click();
  await page.clock.pauseAt(Date.now() + 3_600_000);
  openGate(gates[1]);
  await api.reaches(id, "failed");
  await page.getByRole("button", { name: "Cancel the run" }).click();
  await page.clock.resume();
  await expect(page.getByText("The run had ended already.").first()).toBeVisible();
  expect((await api.status(id)).attempt).toBe(2);
});

test("a session that was revoked: the press leads to the login and back to the project, and is not made again", async ({ page, tenant }) => {
  const calls = await Calls.to(page, /\/restart$/);
  await page.goto(`/projects/${ids.failed}`);
  await expect(restartButton(page)).toBeVisible();
  rekindlectl("session", "revoke", "--tenant", tenant.id);
  await restartButton(page).click();
  await expect(heading(page, "Sign in")).toBeVisible();
  await expect(page.getByText("Your session has ended. Sign in to go on where you were; nothing was sent again.")).toBeVisible();
  await signInByMail(page, tenant);
  await expect(page).toHaveURL(`/projects/${ids.failed}`);
  await expect(restartButton(page)).toBeVisible();
  await expect(badge(page, "Failed")).toBeVisible();
  expect(calls.requests, "restarts that were sent").toHaveLength(1);
  await page.reload();
  await expect(restartButton(page)).toBeVisible();
  expect(calls.requests).toHaveLength(1);
  await restartButton(page).click();
  await expect(page).toHaveURL(`/projects/${ids.failed}/status`);
  expect(calls.requests).toHaveLength(2);
});
