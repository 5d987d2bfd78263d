import { describe, expect, it } from "vitest";
import { between, formatClock, formatCountdown, formatDuration, formatFullTime, formatMoment, formatSize, formatTime } from "./format";

describe("formatDuration", () => {
  it.each([
    [-5, "less than 1 s"], [0, "less than 1 s"], [999, "less than 1 s"], [8_000, "8 s"], [60_000, "1 min"], [250_000, "4 min 10 s"],
    [3_600_000, "1 h"], [11_100_000, "3 h 5 min"], [3_605_000, "1 h"], [90_000_000, "1 d 1 h"],
  ])("%d ms is %s", (ms, text) => expect(formatDuration(ms)).toBe(text));
});

describe("times", () => {
  const noon = new Date(2026, 2, 1, 12, 3, 10);
  it("are shortest where they are nearest", () => {
    expect(formatTime(noon.toISOString(), noon.getTime())).toBe("today, 12:03:10");
    expect(formatTime(new Date(2026, 1, 24, 9, 5).toISOString(), noon.getTime())).toBe("24 Feb, 09:05");
    expect(formatTime(new Date(2025, 1, 24, 9, 5).toISOString(), noon.getTime())).toContain("2025");
    expect(formatClock(noon.getTime())).toBe("12:03:10");
    expect(formatFullTime(noon.toISOString())).toContain("1 March 2026");
  });
  it("name their day within a sentence", () => {
    const moment = (...of: [number, number, number, number, number]) => formatMoment(new Date(...of).toISOString(), noon.getTime());
    expect(moment(2026, 2, 1, 21, 3)).toBe("21:03 today");
    expect(moment(2026, 2, 2, 0, 0)).toBe("00:00 tomorrow");
    expect(moment(2026, 2, 3, 9, 5)).toBe("09:05 on 3 Mar");
    expect(moment(2026, 1, 28, 9, 5)).toBe("09:05 on 28 Feb");
  });
  it("show what they can't read as it came", () => {
    expect(formatMoment("soon", 0)).toBe("soon");
    expect(formatTime("soon", 0)).toBe("soon");
    expect(formatFullTime("soon")).toBe("soon");
  });
});

describe("between", () => {
  it("is null where an end is not known, and never negative", () => {
    expect(between(null, 5)).toBeNull();
    expect(between("2026-03-01T12:00:00Z", null)).toBeNull();
    expect(between("soon", 5)).toBeNull();
    expect(between("2026-03-01T12:00:00.000Z", "2026-03-01T12:00:41.000Z")).toBe(41_000);
    expect(between("2026-03-01T12:00:41.000Z", "2026-03-01T12:00:00.000Z")).toBe(0);
  });
});

describe("formatSize and formatCountdown", () => {
  it.each([[0, "0 bytes"], [999, "999 bytes"], [2_265, "2.3 kB"], [48_213, "48 kB"], [1_500_000, "1.5 MB"]])("%d is %s", (n, text) => expect(formatSize(n)).toBe(text));
  it.each([[600, "10:00"], [247, "4:07"], [0.2, "0:01"], [-3, "0:00"]])("%d s is %s", (n, text) => expect(formatCountdown(n)).toBe(text));
});
