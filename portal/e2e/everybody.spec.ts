// For everybody: screen readers, keyboards, small and large screens, dark rooms,
// those whom motion makes ill, and slow lines.
import { gzipSync } from "node:zlib";
import { badge, Calls, expect, expectAccessible, expectFocusKept, heading, ids, issueCode, mailedCode, restartButton, runButton, tabTo, test, type Page } from "./fixtures";

/** The pages of a signed-in tenant in each of their states. */
const states: [what: string, path: string, shown: (page: Page) => Promise<void>][] = [
  ["list", "/projects", (page) => expect(page.getByRole("table")).toBeVisible()],
  ["list, nothing found", "/projects?search=nothing-is-called-this", (page) => expect(page.getByRole("heading", { name: "No project matches" })).toBeVisible()],
  ["new", "/new-project", (page) => expect(page.getByLabel("Name")).toBeVisible()],
  ["new, with errors", "/new-project", async (page) => {
    await page.getByLabel("Description").fill("x".repeat(4001));
    await page.getByRole("button", { name: "Create project" }).click();
    await expect(page.getByText("2 fields need another look")).toBeVisible();
  }],
  ["edit", `/projects/${ids.pending}/edit`, (page) => expect(page.getByLabel("Name")).toHaveValue("Product site")],
  ["edit, running", `/projects/${ids.running}/edit`, (page) => expect(page.getByText("Editing is possible once it has ended.")).toBeVisible()],
  ["project, pending", `/projects/${ids.pending}`, (page) => expect(runButton(page)).toBeVisible()],
  ["project, blocked", `/projects/${ids.bare}`, async (page) => {
    await runButton(page).focus();
    await expect(page.getByRole("tooltip").first()).toBeVisible();
  }],
  ["project, running", `/projects/${ids.running}`, (page) => expect(page.getByRole("progressbar")).toBeVisible()],
  ["project, running, why it can't be deleted", `/projects/${ids.running}`, async (page) => {
    await page.getByRole("button", { name: "Delete" }).focus();
    await expect(page.getByRole("tooltip").first()).toBeVisible();
  }],
  ["project, failed", `/projects/${ids.failed}`, (page) => expect(restartButton(page)).toBeVisible()],
  ["project, completed", `/projects/${ids.completed}`, (page) => expect(badge(page, "Completed")).toBeVisible()],
  ["cancel dialog", `/projects/${ids.running}`, async (page) => {
    await page.getByRole("button", { name: "Cancel run" }).click();
    await expect(page.getByRole("dialog")).toBeVisible();
  }],
  ["delete dialog", `/projects/${ids.failed}`, async (page) => {
    await page.getByRole("button", { name: "Delete" }).click();
    await expect(page.getByRole("dialog")).toBeVisible();
  }],
  ["restart without an answer", `/projects/${ids.failed}`, async (page) => {
    await page.route("**/restart", (route) => route.abort("connectionreset"));
    await restartButton(page).click();
    await expect(page.getByRole("alert")).toBeVisible();
  }],
  ["status, pending", `/projects/${ids.pending}/status`, (page) => expect(badge(page, "Pending")).toBeVisible()],
  ["status, running", `/projects/${ids.running}/status`, (page) => expect(page.getByRole("progressbar")).toBeVisible()],
  ["status, failed", `/projects/${ids.failed}/status`, (page) => expect(restartButton(page)).toBeVisible()],
  ["status, completed, dialog", `/projects/${ids.completed}/status`, (page) => expect(page.getByRole("dialog")).toBeVisible()],
  ["status, stale", `/projects/${ids.running}/status`, async (page) => {
    await expect(badge(page, "Running")).toBeVisible();
    await page.route("**/api/**", (route) => route.abort("connectionrefused"));
    await expect(page.getByText(/^Showing what was known at/)).toBeVisible();
  }],
  ["loading", `/projects/${ids.failed}`, async (page) => {
    await expect(page.getByText("Loading the project…")).toBeVisible();
  }],
  ["error", `/projects/${ids.failed}/status`, (page) => expect(page.getByRole("alert").first()).toBeVisible()],
  ["page not found", "/no/such/page", (page) => expect(heading(page, "Page not found")).toBeVisible()],
  ["project not found", "/projects/never-made", (page) => expect(heading(page, "Project not found")).toBeVisible()],
];

/** Brings a page into a state. */
async function bring(page: Page, [what, path, shown]: (typeof states)[number]): Promise<void> {
  await page.unrouteAll({ behavior: "ignoreErrors" });
  if (what === "loading") (await Calls.to(page, /^\/api\//)).hold();
  if (what === "error") await page.route("**/api/**", (route) => route.fulfill({ status: 500, body: "" }));
  await page.goto(path);
  await shown(page);
}

// Some at a time: a test's time is limited, and two run side by side.
for (let from = 0; from < states.length; from += 6) {
  const some = states.slice(from, from + 6);
  test(`axe finds nothing, light or dark: ${some.map(([what]) => what).join("; ")}`, async ({ page }) => {
    test.slow();
    for (const state of some) {
      await bring(page, state);
      await expectAccessible(page, state[0]);
    }
  });
}

test.describe("signed out", () => {
  test.use({ signedIn: false, kind: "empty" });

  test("axe finds nothing at the login, light or dark", async ({ page, tenant }) => {
    await page.goto("/login");
    await expect(heading(page, "Sign in")).toBeVisible();
    await expectAccessible(page, "login");
    await page.getByRole("button", { name: "Send the code" }).click();
    await expectAccessible(page, "login, no account name");
    await page.getByLabel("Account name").fill(tenant.slug);
    await page.getByRole("button", { name: "Send the code" }).click();
    await expect(page.getByLabel("Login code")).toBeVisible();
    await expectAccessible(page, "login code");
    const code = await mailedCode(tenant);
    await page.getByLabel("Login code").fill(code === "123456" ? "654321" : "123456");
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByLabel("Login code")).toHaveAttribute("aria-invalid", "true");
    await expectAccessible(page, "wrong login code");
  });

  test("the keyboard alone signs in, creates, assigns, runs, watches, mends, restarts, deletes and logs out; the focus is never lost", async ({ page, tenant }) => {
    test.slow();
    const press = async (key: string) => page.keyboard.press(key);
    await page.goto("/login");
    await tabTo(page, page.getByLabel("Account name"));
    await page.keyboard.type(tenant.slug);
    await press("Enter");
    await expect(page.getByLabel("Login code")).toBeFocused();
    await page.keyboard.type(await mailedCode(tenant));
    await press("Enter");
    await expect(heading(page, "Projects")).toBeFocused();

    await tabTo(page, page.getByRole("link", { name: "New project" }));
    await press("Enter");
    await expect(heading(page, "New project")).toBeFocused();
    await tabTo(page, page.getByLabel("Name"));
    await page.keyboard.type("By hand");
    await press("Tab");
    await page.keyboard.type("Without a mouse");
    await press("Tab");
    await page.keyboard.type("Welcome\nfail: a key is missing");
    await tabTo(page, page.getByRole("button", { name: "Create project" }));
    await press("Enter");
    await expect(heading(page, "By hand")).toBeVisible();
    await expectFocusKept(page);

    await tabTo(page, page.getByLabel("Code", { exact: true }));
    await page.keyboard.type(issueCode());
    await press("Enter");
    await expect(page.getByText("Assigned. It ends in")).toBeVisible();
    await expectFocusKept(page);
    // A fresh start: the button is before what had the focus.
    await page.reload();
    await tabTo(page, runButton(page));
    await press("Space");
    await expect(heading(page, "Status of By hand")).toBeFocused();
    await expect(badge(page, "Failed")).toBeVisible();
    await expectFocusKept(page);

    await tabTo(page, page.getByRole("link", { name: "Edit the project" }));
    await press("Enter");
    await expect(heading(page, "Edit project")).toBeVisible();
    await expectFocusKept(page);
    await tabTo(page, page.getByLabel("Objectives"));
    await press("ControlOrMeta+a");
    await page.keyboard.type("Welcome");
    await tabTo(page, page.getByRole("button", { name: "Save changes" }));
    await press("Enter");
    await expect(heading(page, "By hand")).toBeFocused();
    await tabTo(page, restartButton(page));
    await press("Enter");
    const dialog = page.getByRole("dialog", { name: "The project has completed" });
    await expect(dialog).toBeVisible();
    await expect(dialog.locator(":focus")).toHaveCount(1);
    await press("Escape");
    await expectFocusKept(page);
    await page.goto("/projects/by-hand");
    await tabTo(page, page.getByRole("button", { name: "Delete" }));
    await press("Enter");
    await tabTo(page, page.getByRole("button", { name: "Delete project" }));
    await press("Enter");
    await expect(heading(page, "Projects")).toBeFocused();
    await page.reload();
    await tabTo(page, page.getByRole("button", { name: "Log out" }));
    await press("Enter");
    await expect(page.getByText("You have logged out.")).toBeVisible();
    await expectFocusKept(page);
  });
});

test("a dialog keeps the focus inside, and gives it back", async ({ page }) => {
  await page.goto(`/projects/${ids.running}`);
  const opener = page.getByRole("button", { name: "Cancel run" });
  await tabTo(page, opener);
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByRole("button", { name: "Keep it running" })).toBeFocused();
  for (let n = 0; n < 6; n++) {
    await page.keyboard.press("Tab");
    const where = await page.evaluate(() => (document.activeElement === document.body ? "browser" : document.activeElement?.closest("dialog") !== null ? "dialog" : "behind"));
    expect(where, "the focus after Tab").not.toBe("behind");
  }
  await page.keyboard.press("Escape");
  await expect(opener).toBeFocused();
});

test("the link past the header is first, and leads to the content", async ({ page }) => {
  await page.goto("/projects");
  await expect(page.getByRole("table")).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "New project" })).toBeFocused();
});

test("nothing scrolls sideways from 320 to 2560 pixels, with the longest texts in the longest words", async ({ page, api }) => {
  test.slow();
  const word = "Donaudampfschifffahrtsgesellschaftskapitaen".repeat(3).slice(0, 100);
  const { project_id: id } = await api.call<{ project_id: string }>("POST", "/projects", {
    name: word, description: word.repeat(40), objectives: `fail: ${"nospacesatall".repeat(100)}\n${"An objective of many words. ".repeat(700)}`.slice(0, 20_000),
  });
  await api.call("POST", `/projects/${id}/activation-code`, { code: issueCode() });
  await api.start(id, "run");
  await api.reaches(id, "failed");
  const pages: typeof states = [
    ...states.filter(([what]) => !["loading", "error", "list, nothing found"].includes(what)),
    ["long, project", `/projects/${id}`, (p) => expect(restartButton(p)).toBeVisible()],
    ["long, status", `/projects/${id}/status`, (p) => expect(p.getByRole("region", { name: "Errors" })).toBeVisible()],
    ["long, edit", `/projects/${id}/edit`, (p) => expect(p.getByLabel("Name")).toHaveValue(word)],
  ];
  for (const state of pages) {
    await page.setViewportSize({ width: 1280, height: 800 });
    await bring(page, state);
    for (const width of [320, 390, 640, 768, 1024, 1280, 1920, 2560]) {
      await page.setViewportSize({ width, height: 800 });
      // A page learns of its new size with its next frame.
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      const wide = await page.evaluate(() => {
        const limit = document.documentElement.clientWidth;
        const over = [...document.querySelectorAll("body *")].filter((element) => {
          const box = element.getBoundingClientRect();
          return box.width > 0 && box.right > limit + 1 && element.closest("pre, .visually-hidden") === null;
        });
        return { scrolls: document.documentElement.scrollWidth > limit, over: over.slice(0, 3).map((e) => e.outerHTML.slice(0, 100)) };
      });
      expect(wide, `${state[0]} at ${width} px`).toEqual({ scrolls: false, over: [] });
    }
  }
});

test("text of twice the size and the spacing of WCAG 1.4.12 fit", async ({ page }) => {
  await page.setViewportSize({ width: 640, height: 800 });
  for (const path of ["/projects", `/projects/${ids.failed}`, `/projects/${ids.running}/status`]) {
    await page.goto(path);
    await expect(page.getByRole("heading", { level: 2 }).or(page.getByRole("table")).first()).toBeVisible();
    const overflow = await page.evaluate(() => {
      // By the object model: the policy allows no style element.
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("html{font-size:200%!important} *{line-height:1.5!important;letter-spacing:.12em!important;word-spacing:.16em!important}");
      document.adoptedStyleSheets = [sheet];
      return document.documentElement.scrollWidth - document.documentElement.clientWidth;
    });
    expect(overflow, path).toBe(0);
  }
});

test("nothing moves for those who asked for less motion", async ({ page }) => {
  const spinning = async (reducedMotion: "reduce" | "no-preference") => {
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await page.emulateMedia({ reducedMotion });
    (await Calls.to(page, /^\/api\//)).hold();
    await page.goto(`/projects/${ids.failed}`);
    await expect(page.getByText("Loading the project…")).toBeVisible();
    return page.evaluate(() => document.getAnimations().filter((a) => {
      const { duration, iterations } = a.effect?.getComputedTiming() ?? {};
      return typeof duration === "number" && duration > 1 && iterations === Infinity;
    }).length);
  };
  expect(await spinning("no-preference"), "spinners that turn").toBeGreaterThan(0);
  expect(await spinning("reduce"), "what moves on and on").toBe(0);
});

test("the colours follow the system's scheme, also while the page is open", async ({ page }) => {
  await page.goto("/projects");
  const lightness = () => page.evaluate(() => {
    const [r = 0, g = 0, b = 0] = (getComputedStyle(document.documentElement).backgroundColor.match(/[\d.]+/g) ?? []).map(Number);
    return (r + g + b) / 3;
  });
  await page.emulateMedia({ colorScheme: "dark" });
  await expect.poll(lightness).toBeLessThan(60);
  await page.emulateMedia({ colorScheme: "light" });
  await expect.poll(lightness).toBeGreaterThan(200);
});

test("a first visit loads less than 120 KB of compressed JavaScript, and nothing from elsewhere", async ({ page, baseURL }) => {
  let scripts = 0;
  const elsewhere: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(`${baseURL ?? ""}/`)) elsewhere.push(request.url());
  });
  const sizes: Promise<void>[] = [];
  page.on("response", (response) => {
    if (response.request().resourceType() === "script") sizes.push(response.body().then((body) => void (scripts += gzipSync(body).length)));
  });
  await page.goto("/projects");
  await expect(page.getByRole("table")).toBeVisible();
  await Promise.all(sizes);
  expect(scripts).toBeGreaterThan(10_000);
  expect(scripts, "bytes of JavaScript").toBeLessThan(120_000);
  expect(elsewhere).toEqual([]);
});

test("on a phone each row of the list and of the attempts is a card with its labels, and buttons are large enough to tap", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto("/projects");
  await expect(page.getByRole("link", { name: "Help pages" })).toBeVisible();
  await page.goto(`/projects/${ids.failed}`);
  const button = restartButton(page);
  await expect(button).toBeInViewport();
  const box = await button.boundingBox();
  expect(box?.height ?? 0, "height of the button").toBeGreaterThanOrEqual(44);
});
