import { readFileSync } from "node:fs";
import { badge, expect, heading, issueCode, restartButton, runButton, signInByMail, test } from "./fixtures";

test.describe("the whole journey", () => {
  test.use({ kind: "empty", signedIn: false });

  test("sign in, create, assign a code, run, watch it fail, mend, restart, watch it complete, download, log out", async ({ page, tenant }) => {
    await page.goto("/");
    await expect(heading(page, "Sign in")).toBeVisible();
    await signInByMail(page, tenant);

    await page.getByRole("link", { name: "Create your first project" }).click();
    await page.getByLabel("Name").fill("Winter offers");
    await page.getByLabel("Description").fill("What is on offer this winter");
    await page.getByLabel("Objectives").fill("Welcome\nfail: no prices yet");
    await page.getByRole("button", { name: "Create project" }).click();

    await expect(heading(page, "Winter offers")).toBeVisible();
    await expect(badge(page, "Pending")).toBeVisible();
    await expect(runButton(page)).toHaveAccessibleDescription("The project has no activation code: assign one to run it");
    await page.getByLabel("Code", { exact: true }).fill(issueCode().toLowerCase());
    await page.getByRole("button", { name: "Assign code" }).click();
    await expect(page.getByText("Assigned. It ends in")).toBeVisible();

    await runButton(page).click();
    await expect(page).toHaveURL("/projects/winter-offers/status");
    await expect(heading(page, "Status of Winter offers")).toBeVisible();
    await expect(badge(page, "Failed")).toBeVisible();
    await expect(page.getByText("no prices yet").first()).toBeVisible();
    await expect(page.getByRole("region", { name: "Output" })).toContainText("writing page-01.html");
    await expect(page.getByRole("region", { name: "Errors" })).toContainText("no prices yet");

    await page.getByRole("link", { name: "Edit the project" }).click();
    await page.getByLabel("Objectives").fill("Welcome\nPrices");
    await page.getByRole("button", { name: "Save changes" }).click();
    await expect(heading(page, "Winter offers")).toBeVisible();
    await restartButton(page).click();
    await expect(page).toHaveURL("/projects/winter-offers/status");

    const dialog = page.getByRole("dialog", { name: "The project has completed" });
    await expect(dialog).toBeVisible();
    const begun = page.waitForEvent("download");
    await dialog.getByRole("button", { name: "Download now" }).click();
    const zip = readFileSync(await (await begun).path(), "latin1");
    expect(zip.startsWith("PK"), "the download is a zip").toBe(true);
    for (const name of ["index.html", "page-01.html", "page-02.html", "style.css"]) expect(zip).toContain(name);
    await dialog.getByRole("link", { name: "Open the project" }).click();

    await expect(heading(page, "Winter offers")).toBeVisible();
    await expect(badge(page, "Completed")).toBeVisible();
    const attempts = page.getByRole("table", { name: "Attempts, newest first" });
    await expect(attempts.getByRole("row")).toHaveCount(3);
    await expect(attempts.getByRole("row").nth(1)).toContainText("Completed");
    await expect(attempts.getByRole("row").nth(2)).toContainText("no prices yet");

    await page.getByRole("button", { name: "Log out" }).click();
    await expect(page.getByText("You have logged out.")).toBeVisible();
    await page.goBack();
    await expect(heading(page, "Sign in")).toBeVisible();
    expect(await page.evaluate(() => sessionStorage.length + localStorage.length), "items in the storages after the logout").toBe(0);
  });
});
