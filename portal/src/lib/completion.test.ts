import { beforeEach, describe, expect, it } from "vitest";
import { hideCompletion, isCompletionHidden, rearmCompletion } from "./completion";

beforeEach(() => localStorage.clear());

describe("completion", () => {
  it("is hidden for one execution of one project of one account", () => {
    hideCompletion("acme", "a", 7);
    expect(isCompletionHidden("acme", "a", 7)).toBe(true);
    expect(isCompletionHidden("acme", "a", 8)).toBe(false);
    expect(isCompletionHidden("acme", "b", 7)).toBe(false);
    expect(isCompletionHidden("other", "a", 7)).toBe(false);
  });

  it("is told again after a restart", () => {
    hideCompletion("acme", "a", 7);
    rearmCompletion("acme", "a");
    expect(isCompletionHidden("acme", "a", 7)).toBe(false);
  });
});
