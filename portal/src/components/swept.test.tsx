import { cleanup, render } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import { formatFullTime } from "../lib/format";
import type { Attempt } from "../lib/projects";
import { Swept } from "./swept";

afterEach(cleanup);

const started = "2026-03-01T11:00:00.000Z";
const cutoff = "2026-03-01T12:00:00.000Z";
const at = "2026-03-02T12:00:00.000Z";
const attemptOf = (more: Partial<Attempt>): Attempt => ({
  execution_id: 61336628852843, attempt: 1, started_at: started, claimed_at: null, completed_at: at, outcome: "timed_out",
  error: "Execution timed out: it was running for more than 24 hours", output_folder_path: null, heartbeat_at: null, extension_seconds: null,
  swept: { sweep_id: "20260302T120000.000Z-3fa94c1d", at, cutoff, silent: false }, late_result: null, ...more,
});
const said = (attempt: Attempt) => render(<Swept attempt={attempt} />).container.textContent;
const full = formatFullTime;

describe("Swept", () => {
  it("says when a run was failed that was running for too long, and when it was last heard of", () => {
    const beat = "2026-03-02T11:59:41.000Z";
    expect(said(attemptOf({ heartbeat_at: beat }))).toBe(
      `Failed by the hourly check on ${full(at)}, because it had been running since ${full(started)}, longer than allowed: it had started before ${full(cutoff)}. ` +
        `Last sign of life: ${full(beat)}.For support: sweep 20260302T120000.000Z-3fa94c1d`,
    );
  });
  it("says that nothing was ever heard of a run", () => expect(said(attemptOf({}))).toContain(`before ${full(cutoff)}. No sign of life ever came.`));
  it("says that a run had been extended", () => expect(said(attemptOf({ extension_seconds: 21_600 }))).toContain("longer than allowed, even with 6 hours more: it had started before"));
  it("says of a run that fell silent when it was last heard of, and not that it took too long", () => {
    const text = said(attemptOf({ heartbeat_at: "2026-03-02T09:00:00.000Z", swept: { sweep_id: "s", at, cutoff: "2026-03-02T11:50:00.000Z", silent: true } }));
    expect(text).toContain(`because its last sign of life had come on ${full("2026-03-02T09:00:00.000Z")}: before ${full("2026-03-02T11:50:00.000Z")}. It had been running since ${full(started)}.`);
    expect(text).not.toContain("longer than allowed");
  });
  it("says of a run that took too long and was silent as well that it took too long", () =>
    expect(said(attemptOf({ heartbeat_at: "2026-03-01T11:30:00.000Z" }))).toContain("longer than allowed"));
  it("leaves out what is not known", () => {
    expect(said(attemptOf({ started_at: null, swept: { sweep_id: "s", at: null, cutoff: null, silent: false } }))).toBe(
      "Failed by the hourly check, because it had been running longer than allowed. No sign of life ever came.For support: sweep s",
    );
  });
  it("is nothing for an attempt that ended otherwise", () => expect(said(attemptOf({ swept: null }))).toBe(""));
});
