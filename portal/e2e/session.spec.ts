// Signing in and out, sessions that end, and where the token is.
import { badge, Calls, expect, expectFocusKept, heading, ids, mailedCode, rekindlectl, signInByMail, test } from "./fixtures";

test.describe("login", () => {
  test.use({ signedIn: false, kind: "empty" });

  test("a page that needs a session leads to the login, and back to that page", async ({ page, tenant }) => {
    await page.goto("/new-project?from=mail");
    await expect(page).toHaveURL("/login?next=%2Fnew-project%3Ffrom%3Dmail");
    await signInByMail(page, tenant);
    await expect(page).toHaveURL("/new-project?from=mail");
    await expect(heading(page, "New project")).toBeVisible();
  });

  test("the login never leads to another site", async ({ page, tenant }) => {
    await page.goto(`/login?next=${encodeURIComponent("//evil.example/projects")}`);
    await signInByMail(page, tenant);
    await expect(page).toHaveURL("/projects");
  });

  test("a wrong code says so beside the field; after five the code is spent; another one works", async ({ page, tenant }) => {
    await page.goto("/login");
    await page.getByLabel("Account name").fill(tenant.slug);
    await page.keyboard.press("Enter");
    const field = page.getByLabel("Login code");
    await expect(field).toBeFocused();
    const code = await mailedCode(tenant);
    const wrong = code === "123456" ? "654321" : "123456";
    await field.fill("12345");
    await page.keyboard.press("Enter");
    await expect(field).toHaveAccessibleDescription(/The code has six digits/);
    await expect(field).toBeFocused();
    const calls = await Calls.to(page, /\/otp\/verify$/);
    for (let tries = 1; tries <= 4; tries++) {
      await field.fill(wrong);
      await page.keyboard.press("Enter");
      await expect.poll(() => calls.requests.length).toBe(tries);
      await expect(field).toHaveAccessibleDescription(/The login code is wrong or has expired/);
      await expect(field).toBeFocused();
      await expect(page.getByRole("button", { name: "Sign in" })).toHaveAttribute("aria-busy", "false");
    }
    await field.fill(wrong);
    await page.keyboard.press("Enter");
    await expect.poll(() => calls.requests.length).toBe(5);
    await expect(page.getByRole("button", { name: "Sign in" })).toHaveAttribute("aria-busy", "false");
    await field.fill(code);
    await page.keyboard.press("Enter");
    await expect(page.getByText("Too many wrong login codes").first()).toBeVisible();
    await expect(page.getByRole("button", { name: "Sign in" })).toHaveAttribute("aria-disabled", "true");

    await page.getByRole("button", { name: "Send another code" }).click();
    await mailedCode(tenant, 2);
    await expect(page.getByText("Too many wrong login codes")).toHaveCount(0);
    await page.getByLabel("Login code").fill(await mailedCode(tenant, 2));
    await page.keyboard.press("Enter");
    await expect(heading(page, "Projects")).toBeVisible();
  });

  test("the code's time is counted down to its end; Back returns to the account with its name kept", async ({ page, tenant }) => {
    await page.clock.install();
    await page.goto("/login");
    await page.getByLabel("Account name").fill(tenant.slug);
    await page.getByRole("button", { name: "Send the code" }).click();
    await expect(page.getByRole("timer")).toHaveText(/^(10:00|9:5\d)$/);
    await page.clock.fastForward("05:00");
    await expect(page.getByRole("timer")).toHaveText(/^[45]:\d\d$/);
    await page.clock.fastForward("06:00");
    await expect(page.getByText("It has expired by now.")).toBeVisible();
    await page.getByRole("button", { name: "Back" }).click();
    await expect(page.getByLabel("Account name")).toHaveValue(tenant.slug);
    await expectFocusKept(page);
  });

  test("a fourth code within the hour is refused with the time to wait", async ({ page, tenant }) => {
    await page.clock.install();
    await page.goto("/login");
    await page.getByLabel("Account name").fill(tenant.slug);
    await page.getByRole("button", { name: "Send the code" }).click();
    for (let sent = 2; sent <= 3; sent++) {
      await mailedCode(tenant, sent - 1);
      await page.getByRole("button", { name: "Send another code" }).click();
    }
    await mailedCode(tenant, 3);
    await page.getByRole("button", { name: "Send another code" }).click();
    await expect(page.getByText("Too many login codes were requested")).toBeVisible();
    const again = page.getByRole("button", { name: "Send another code" });
    await expect(again).toHaveAttribute("aria-disabled", "true");
    await expect(again).toHaveAccessibleDescription(/^Wait \d+:\d\d$/);
    await page.clock.fastForward("01:00:00");
    await expect(again).toHaveAttribute("aria-disabled", "false");
  });

  test("an unknown account is told what a known one is, and a malformed name why", async ({ page }) => {
    await page.goto("/login");
    await page.getByRole("button", { name: "Send the code" }).click();
    await expect(page.getByLabel("Account name")).toHaveAttribute("aria-invalid", "true");
    await expect(page.getByLabel("Account name")).toBeFocused();
    await page.getByLabel("Account name").fill("nobody-has-this-name");
    await page.getByRole("button", { name: "Send the code" }).click();
    await expect(page.getByText("If the account nobody-has-this-name exists, a login code is on its way to its mail address.")).toBeVisible();
  });

  test("without a connection the login says so, and works once there is one", async ({ page, context, tenant }) => {
    await page.goto("/login");
    await page.getByLabel("Account name").fill(tenant.slug);
    await context.setOffline(true);
    await page.getByRole("button", { name: "Send the code" }).click();
    await expect(page.getByRole("alert")).toContainText("The service can’t be reached. Check your connection.");
    await context.setOffline(false);
    await page.getByRole("button", { name: "Send the code" }).click();
    await expect(page.getByLabel("Login code")).toBeVisible();
  });
});

test("a second tab takes the session over, and a logout in one tab ends it in both", async ({ page, context }) => {
  await page.goto("/projects");
  await expect(heading(page, "Projects")).toBeVisible();
  const other = await context.newPage();
  await other.goto(`/projects/${ids.failed}`);
  await expect(heading(other, "Help pages")).toBeVisible();
  await page.getByRole("button", { name: "Log out" }).click();
  await expect(page.getByText("You have logged out.")).toBeVisible();
  await expect(heading(other, "Sign in")).toBeVisible();
});

test("a session that ends while a run is watched leads to the login and back to the run", async ({ page, tenant }) => {
  await page.goto(`/projects/${ids.running}/status`);
  await expect(badge(page, "Running")).toBeVisible();
  rekindlectl("session", "revoke", "--tenant", tenant.id);
  await expect(page.getByText("Your session has ended.")).toBeVisible();
  await signInByMail(page, tenant);
  await expect(page).toHaveURL(`/projects/${ids.running}/status`);
  await expect(badge(page, "Running")).toBeVisible();
});

test("a session whose time is over ends by itself, without a call", async ({ page }) => {
  await page.clock.install();
  await page.goto(`/projects/${ids.failed}`);
  await expect(badge(page, "Failed")).toBeVisible();
  await page.clock.fastForward("24:00:00");
  await expect(page.getByText("Your session has ended.")).toBeVisible();
  await expect(page).toHaveURL(`/login?next=%2Fprojects%2F${ids.failed}`);
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});

test("what was typed is still there after a session that ended before it was saved, and nothing is saved unasked", async ({ page, tenant }) => {
  const calls = await Calls.to(page, /\/projects$/);
  await page.goto("/new-project");
  await page.getByLabel("Name").fill("Kept in mind");
  await page.getByLabel("Objectives").fill("Welcome");
  rekindlectl("session", "revoke", "--tenant", tenant.id);
  await page.getByRole("button", { name: "Create project" }).click();
  await expect(page.getByText("Your session has ended.")).toBeVisible();
  await signInByMail(page, tenant);
  await expect(page.getByText("This is what you had typed and not saved.")).toBeVisible();
  await expect(page.getByLabel("Name")).toHaveValue("Kept in mind");
  expect(calls.requests.filter((r) => r.method() === "POST")).toHaveLength(1);
  await page.getByRole("button", { name: "Create project" }).click();
  await expect(heading(page, "Kept in mind")).toBeVisible();
});

test("a logout that the service can't be told of ends the session here, and says so", async ({ page }) => {
  await page.goto("/projects");
  await page.route("**/auth/logout", (route) => route.abort("connectionreset"));
  await page.getByRole("button", { name: "Log out" }).click();
  await expect(page.getByText("The service could not be told")).toBeVisible();
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});

test("the token goes in a header alone: in no URL, cookie, localStorage or console", async ({ page, tenant }) => {
  const calls = await Calls.to(page, /^\/api\//);
  await page.goto("/projects");
  for (const id of [ids.failed, ids.running, ids.completed]) {
    await page.goto(`/projects/${id}`);
    await expect(page.getByRole("table", { name: "Attempts, newest first" })).toBeVisible();
    await page.goto(`/projects/${id}/status`);
    await expect(heading(page, /^Status of/)).toBeVisible();
  }
  expect(calls.requests.length).toBeGreaterThan(6);
  for (const request of calls.requests) {
    expect(request.url()).not.toContain(tenant.token);
    expect(request.headers()["x-session-token"]).toBe(tenant.token);
    expect(request.headers()["cookie"]).toBeUndefined();
  }
  const kept = await page.evaluate(() => ({ local: Object.entries(localStorage).join(), cookie: document.cookie, url: location.href, title: document.title }));
  expect(JSON.stringify(kept)).not.toContain(tenant.token);
});
