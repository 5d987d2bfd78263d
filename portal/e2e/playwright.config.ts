// The browser tests (`make e2e`) and the screenshots (`make screenshots`): in a
// Chromium of this machine, against a local stack of their own.
import { defineConfig } from "@playwright/test";
import { findChromium, howToGet } from "./chromium.mjs";

const chromium = findChromium();
if (chromium === null) throw new Error(howToGet);

export default defineConfig({
  testDir: ".",
  // What a failed test leaves behind: a screenshot and a trace. git ignores it.
  outputDir: "results",
  globalSetup: "./setup.ts",
  forbidOnly: true,
  fullyParallel: true,
  workers: 2,
  // A machine that others share may stall a browser for longer than a test
  // waits. What passes the second time is reported as flaky.
  retries: process.env.REKINDLE_REQUIRE_CHROMIUM === "1" ? 1 : 0,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [["list", { printSteps: false }]],
  use: {
    browserName: "chromium",
    viewport: { width: 1280, height: 800 },
    locale: "en-GB",
    timezoneId: "UTC",
    screenshot: "only-on-failure",
    trace: "retain-on-failure",
    launchOptions: {
      executablePath: chromium,
      args: [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
      ],
    },
  },
  projects: [
    { name: "tests", testMatch: "*.spec.ts" },
    { name: "screenshots", testMatch: "*.shots.ts" },
  ],
});
