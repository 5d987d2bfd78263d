import { describe, expect, it } from "vitest";
import { fastest, nextPoll, slowest, type Situation } from "./polling";

const watched: Situation = { status: "running", failures: 0, hiddenFor: 0, offlineFor: 0 };

describe("nextPoll", () => {
  it("asks every two seconds while something runs and is watched", () => {
    expect(nextPoll(watched)).toBe(2_000);
  });

  it("stops once a project has settled", () => {
    for (const status of ["pending", "completed", "failed", undefined] as const) expect(nextPoll({ ...watched, status })).toBe(false);
  });

  it("asks on until there is an answer, even of what has settled", () => {
    expect(nextPoll({ ...watched, status: "failed", failures: 1 })).toBe(4_000);
    expect(nextPoll({ ...watched, status: undefined, failures: 2 })).toBe(8_000);
  });

  it("doubles its pauses with the failures, up to a minute", () => {
    const pauses = [0, 1, 2, 3, 4, 5, 50].map((failures) => nextPoll({ ...watched, failures }));
    expect(pauses).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  });

  it("backs off in a hidden tab and offline, the longer the slower", () => {
    for (const name of ["hiddenFor", "offlineFor"] as const) {
      const pauses = [1, 10_000, 60_000, 3_600_000].map((ms) => Number(nextPoll({ ...watched, [name]: ms })));
      expect(pauses[0]).toBeGreaterThan(fastest);
      expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
      expect(pauses.at(-1)).toBe(slowest);
    }
  });

  it("waits as long as the service asks for", () => {
    expect(nextPoll({ ...watched, failures: 1, retryAfter: 20 })).toBe(20_000);
  });
});
