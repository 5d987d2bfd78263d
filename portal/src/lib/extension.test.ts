import { describe, expect, it } from "vitest";
import { ApiError, NetworkFault } from "./api";
import { extendedTo, formatHours, hoursOf, refusalOf } from "./extension";

describe("hoursOf", () => {
  it.each([["6", 6], [" 1.5 ", 1.5], ["1,5", 1.5], ["24", 24], ["1", 1], ["2.", 2]])("reads %j as %d", (text, hours) => expect(hoursOf(text)).toBe(hours));
  it.each(["", " ", "0", "0.99", "24.01", "25", "-2", "1e1", "0x10", "six", "Infinity", "1.5.2", "100"])("refuses %j", (text) => expect(hoursOf(text)).toBeNull());
});

describe("formatHours", () => {
  it.each([[3_600, "1 hour"], [21_600, "6 hours"], [86_400, "24 hours"], [5_400, "1 h 30 min"]])("%d s is %s", (seconds, text) => expect(formatHours(seconds)).toBe(text));
});

describe("extendedTo", () => {
  it("is the time-out and the hours, to the second", () => {
    expect(extendedTo("2026-03-02T15:00:00.250Z", 6)).toBe("2026-03-02T21:00:00.250Z");
    expect(extendedTo("2026-03-02T15:00:00.000Z", 1.51)).toBe("2026-03-02T16:30:36.000Z");
  });
  it("is null where one of them is not known", () => {
    expect(extendedTo(null, 6)).toBeNull();
    expect(extendedTo("2026-03-02T15:00:00.000Z", null)).toBeNull();
    expect(extendedTo("soon", 6)).toBeNull();
  });
});

describe("refusalOf", () => {
  const noon = new Date(2026, 2, 2, 12).getTime();
  const refused = (code: string, fields = {}) => refusalOf(new ApiError(409, code, "…", fields), noon);
  it("says until when a run was extended before", () => {
    expect(refused("extension_used", { times_out_at: new Date(2026, 2, 2, 21, 3).toISOString() })).toEqual({
      tone: "warning", text: "Nothing was added: the run had been extended already, which is possible once. It times out at 21:03 today.",
    });
  });
  it("says that it is too late, or too early, and since or until when", () => {
    expect(refused("extension_too_late", { times_out_at: new Date(2026, 2, 1, 11, 58).toISOString() })?.text).toContain("was over at 11:58 on 1 Mar.");
    expect(refused("extension_too_early", { extendable_at: new Date(2026, 2, 3, 8).toISOString() })?.text).toContain("from 08:00 tomorrow on.");
  });
  it("says that the run has ended, or is another one", () => {
    expect(refused("project_not_running")).toMatchObject({ tone: "info", text: "The run had ended already: there is nothing to extend." });
    expect(refused("attempt_differs", { attempt: 3, status: "running" })?.text).toContain("another attempt has begun since");
  });
  it("needs none of the fields", () => expect(refused("extension_used")?.text).toContain("at another time"));
  it("is none for what may pass", () => {
    expect(refused("unavailable")).toBeNull();
    expect(refusalOf(new NetworkFault("unreachable", null), noon)).toBeNull();
  });
});
