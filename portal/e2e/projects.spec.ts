// The list, creating, editing and deleting; texts of all lengths and kinds.
import { badge, Calls, expect, heading, ids, issueCode, restartButton, runButton, test } from "./fixtures";

test.describe("an account without projects", () => {
  test.use({ kind: "empty" });

  test("says what to do first", async ({ page }) => {
    await page.goto("/projects");
    await expect(page.getByRole("heading", { name: "No projects yet" })).toBeVisible();
    await page.getByRole("link", { name: "Create your first project" }).click();
    await expect(heading(page, "New project")).toBeVisible();
  });
});

test.describe("a thousand projects", () => {
  test.use({ kind: "thousand" });

  test("are turned page by page, forth and back, also by the browser's buttons", async ({ page }) => {
    await page.goto("/projects");
    const rows = page.getByRole("table").getByRole("rowheader");
    const pages = page.getByRole("navigation", { name: "Pages" });
    const names = async () => (await rows.allInnerTexts()).map((text) => text.split("\n")[0]);
    await expect(rows).toHaveCount(20);
    const first = await names();
    await pages.getByRole("button", { name: "Next page" }).click();
    await expect(pages).toContainText("Page 2");
    await expect.poll(names).not.toEqual(first);
    const second = await names();
    expect(second.filter((name) => first.includes(name))).toEqual([]);
    await pages.getByRole("button", { name: "Next page" }).click();
    await expect(pages).toContainText("Page 3");
    await expect.poll(names).not.toEqual(second);
    await page.goBack();
    await expect.poll(names).toEqual(second);
    await pages.getByRole("button", { name: "Previous page" }).click();
    await expect.poll(names).toEqual(first);
    await page.reload();
    await expect.poll(names).toEqual(first);
  });

  test("are all searched and filtered, not the page alone", async ({ page }) => {
    await page.goto("/projects");
    const rows = page.getByRole("table").getByRole("rowheader");
    await page.getByLabel("Search").fill("project 0777");
    await page.keyboard.press("Enter");
    await expect(rows).toHaveCount(1);
    await expect(rows).toContainText("Project 0777");
    await page.getByLabel("Search").fill("");
    await expect(rows).toHaveCount(20);
    await page.getByLabel("Status").selectOption("Failed");
    await expect(rows).toHaveCount(4);
    await expect(page.getByText("The reason of 750")).toBeVisible();
    await expect(page).toHaveURL("/projects?status=failed");
    await page.reload();
    await expect(rows).toHaveCount(4);
    await page.getByLabel("Search").fill("0750");
    await page.getByRole("button", { name: "Search" }).click();
    await expect(rows).toHaveCount(1);
    await page.getByLabel("Search").fill("nothing is called this");
    await page.keyboard.press("Enter");
    await expect(page.getByRole("heading", { name: "No project matches" })).toBeVisible();
    await page.getByRole("button", { name: "Show all projects" }).click();
    await expect(rows).toHaveCount(20);
  });

  test("an old or foreign cursor leads to the first page", async ({ page }) => {
    await page.goto("/projects?cursor=bm9uc2Vuc2U");
    await expect(page.getByRole("table").getByRole("rowheader")).toHaveCount(20);
    await expect(page).toHaveURL("/projects");
  });
});

test("each status has one word and one colour, the same on every page", async ({ page }) => {
  const colours = new Map<string, Set<string>>();
  const note = async (label: string, path: string) => {
    await page.goto(path);
    const found = path === "/projects" ? page.getByRole("cell").getByText(label, { exact: true }).first() : badge(page, label);
    await expect(found).toBeVisible();
    const colour = await found.evaluate((element) => `${getComputedStyle(element).color} on ${getComputedStyle(element).backgroundColor}`);
    colours.set(label, (colours.get(label) ?? new Set()).add(colour));
  };
  for (const [id, label] of [[ids.pending, "Pending"], [ids.running, "Running"], [ids.completed, "Completed"], [ids.failed, "Failed"]] as const) {
    for (const path of ["/projects", `/projects/${id}`, `/projects/${id}/status`]) await note(label, path);
  }
  for (const [label, seen] of colours) expect([...seen], label).toHaveLength(1);
  expect(new Set([...colours.values()].flatMap((seen) => [...seen])).size, "colours of four statuses").toBe(4);
});

test("a form that is not filled in says what is missing, where it is", async ({ page }) => {
  const calls = await Calls.to(page, /\/projects$/);
  await page.goto("/new-project");
  await page.getByRole("button", { name: "Create project" }).click();
  await expect(page.getByLabel("Name")).toBeFocused();
  await expect(page.getByLabel("Name")).toHaveAccessibleDescription(/The name is missing/);
  await page.getByLabel("Name").fill("x".repeat(101));
  await page.getByLabel("Objectives").fill("y".repeat(20_001));
  await page.getByRole("button", { name: "Create project" }).click();
  await expect(page.getByText("2 fields need another look")).toBeVisible();
  await expect(page.getByLabel("Name")).toHaveAccessibleDescription(/The name is longer than 100 characters/);
  await expect(page.getByLabel("Objectives")).toHaveAccessibleDescription(/The objectives is longer|longer than 20000 characters/);
  expect(calls.requests.filter((r) => r.method() === "POST")).toEqual([]);
});

test("a double click on Create makes one project", async ({ page, api }) => {
  const calls = await Calls.to(page, /\/projects$/);
  await page.goto("/new-project");
  await page.getByLabel("Name").fill("Made once");
  calls.hold();
  await page.getByRole("button", { name: "Create project" }).dblclick();
  await calls.held(1);
  calls.release();
  await expect(heading(page, "Made once")).toBeVisible();
  const list = await api.call<{ projects: { name: string }[] }>("GET", "/projects?search=Made+once");
  expect(list.projects).toHaveLength(1);
});

test("texts that somebody else saved meanwhile are shown, and nothing of either is lost", async ({ page, api }) => {
  await page.goto(`/projects/${ids.pending}/edit`);
  await page.getByLabel("Description").fill("Mine");
  await api.edit(ids.pending, { name: "Product site", description: "Theirs", objectives: "Welcome" });
  await page.getByRole("button", { name: "Save changes" }).click();
  await expect(page.getByRole("heading", { name: "The project was changed meanwhile" })).toBeFocused();
  await expect(page.getByText("Theirs")).toBeVisible();
  await expect(page.getByLabel("Description")).toHaveValue("Mine");
  await page.getByRole("button", { name: "Save mine over it" }).click();
  await expect(heading(page, "Product site")).toBeVisible();
  await expect(page.getByText("Mine", { exact: true })).toBeVisible();
});

test("a running project is not edited or deleted, and the page says why", async ({ page }) => {
  await page.goto(`/projects/${ids.running}`);
  const remove = page.getByRole("button", { name: "Delete" });
  await expect(remove).toHaveAttribute("aria-disabled", "true");
  await expect(remove).toHaveAccessibleDescription(/deleting is possible once it has ended/);
  await page.goto(`/projects/${ids.running}/edit`);
  await expect(page.getByText("Editing is possible once it has ended.")).toBeVisible();
});

test("deleting asks first, and the list says that it is done", async ({ page }) => {
  await page.goto(`/projects/${ids.failed}`);
  await page.getByRole("button", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete this project?" });
  await expect(dialog.getByRole("button", { name: "Keep it" })).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
  await expect(page.getByRole("button", { name: "Delete" })).toBeFocused();
  await page.getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete project" }).click();
  await expect(heading(page, "Projects")).toBeVisible();
  await expect(page.getByText("Help pages was deleted.").first()).toBeVisible();
  await expect(page.getByRole("link", { name: "Help pages" })).toHaveCount(0);
});

test("a code that is wrong says so beside the field; a revoked one is replaced", async ({ page }) => {
  await page.goto(`/projects/${ids.bare}`);
  const field = page.getByLabel("Code", { exact: true });
  await page.getByRole("button", { name: "Assign code" }).click();
  await expect(field).toHaveAccessibleDescription(/Type the code that you were given/);
  await field.fill("AAAA-BBBB-CCCC-DDDD");
  await page.keyboard.press("Enter");
  await expect(field).toHaveAttribute("aria-invalid", "true");
  await expect(field).toBeFocused();
  await field.fill(issueCode());
  await page.keyboard.press("Enter");
  await expect(page.getByText("Assigned. It ends in")).toBeVisible();
  await expect(runButton(page)).toHaveAttribute("aria-disabled", "false");
});

test("a download that is not there says why", async ({ page }) => {
  // This project completed in the seed: there is no folder of its output.
  await page.goto(`/projects/${ids.completed}`);
  await page.getByRole("button", { name: "Download the result" }).click();
  await expect(page.getByRole("alert")).toContainText("There is no download");
});

const markup = `<img src=x onerror=alert(1)><script>alert(2)</script>`;

test("markup in any field is shown as text and never becomes HTML", async ({ page, api }) => {
  const plain = async (where: string) => {
    expect(await page.locator("main img, main script, main iframe").count(), `elements made of texts, ${where}`).toBe(0);
  };
  await page.goto("/new-project");
  await page.getByLabel("Name").fill(markup);
  await page.getByLabel("Description").fill(markup);
  await page.getByLabel("Objectives").fill(`${markup}\nfail: ${markup}`);
  await page.getByRole("button", { name: "Create project" }).click();
  await expect(heading(page, markup)).toBeVisible();
  expect(await page.title()).toContain(markup);
  await plain("project page");
  const id = new URL(page.url()).pathname.split("/")[2] ?? "";
  await page.getByLabel("Code", { exact: true }).fill(markup.slice(0, 40));
  await page.getByRole("button", { name: "Assign code" }).click();
  await expect(page.getByLabel("Code", { exact: true })).toHaveAttribute("aria-invalid", "true");
  await plain("activation code");
  await page.getByLabel("Code", { exact: true }).fill(issueCode());
  await page.getByRole("button", { name: "Assign code" }).click();
  await runButton(page).click();
  await api.reaches(id, "failed");
  await expect(restartButton(page)).toBeVisible();
  await expect(page.getByRole("region", { name: "Errors" })).toContainText(markup);
  await expect(page.getByText(markup, { exact: true }).first()).toBeVisible();
  await plain("Status page");
  await page.goto(`/projects/${id}`);
  await expect(page.getByRole("table", { name: "Attempts, newest first" })).toContainText(markup);
  await plain("attempts");
  await page.getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("dialog")).toContainText(markup);
  await plain("dialog");
  await page.goto("/projects");
  await expect(page.getByRole("link", { name: markup })).toBeVisible();
  await page.getByLabel("Search").fill(markup);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("table").getByRole("rowheader")).toHaveCount(1);
  await plain("list");
  await page.goto(`/projects?search=${encodeURIComponent(markup)}&status=${encodeURIComponent(markup)}&cursor=${encodeURIComponent(markup)}`);
  await expect(page.getByLabel("Search")).toHaveValue(markup);
  await plain("addresses");
  await page.goto(`/projects/${id}/edit`);
  await expect(page.getByLabel("Name")).toHaveValue(markup);
  await plain("edit");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Account name").fill(markup);
  await page.getByRole("button", { name: "Send the code" }).click();
  await expect(page.getByRole("button", { name: "Send the code" }).or(page.getByLabel("Login code"))).toBeVisible();
  await plain("login");
});

test("the policy allows no script, style or frame but the portal's own", async ({ page }) => {
  const answer = await page.goto("/projects");
  const policy = answer?.headers()["content-security-policy"] ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain("unsafe-");
});
