import { describe, expect, it } from "vitest";
import { forgetDraft, keepDraft, keptDraft, lengthOf, problemsOf } from "./drafts";

const draft = { name: "n", description: "", objectives: "" };

describe("drafts", () => {
  it("are kept for an account and a page, until they are forgotten", () => {
    keepDraft("acme", "new", { draft, version: 0 });
    expect(keptDraft("acme", "new")).toEqual({ draft, version: 0 });
    expect(keptDraft("other", "new")).toBeUndefined();
    expect(keptDraft("acme", "edit a")).toBeUndefined();
    forgetDraft("acme", "new");
    expect(keptDraft("acme", "new")).toBeUndefined();
  });

  it("are counted as the server counts: an emoji is one character", () => {
    expect(lengthOf("🔄a")).toBe(2);
    expect(problemsOf({ ...draft, name: "🔄".repeat(100) })).toEqual({});
    expect(problemsOf({ ...draft, name: "🔄".repeat(101) })).toEqual({ name: "The name is longer than 100 characters" });
  });

  it("need a name, and nothing else", () => {
    expect(problemsOf(draft)).toEqual({});
    expect(problemsOf({ ...draft, name: " \t" })).toEqual({ name: "The name is missing" });
    expect(problemsOf({ name: "", description: "x".repeat(4001), objectives: "x".repeat(20_001) })).toEqual({
      name: "The name is missing",
      description: "The description is longer than 4000 characters",
      objectives: "The objectives is longer than 20000 characters",
    });
  });
});
