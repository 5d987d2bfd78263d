import { describe, expect, it } from "vitest";
import { canRestartProject, canRunProject, subscriptionProblem, type Startable } from "./rules";
// Made by the server's own checks: infra/local/portal_rules_test.go.
import cases from "./rules.cases.json";

const good: Startable = {
  execution_status: "failed",
  name: "Price list",
  description: "What things cost",
  objectives: "Welcome",
  activation_code: { assigned: true, revoked_at: null },
  subscription_state: "active",
};

describe("the rules", () => {
  it("say of every case what the server says", () => {
    expect(cases.length).toBeGreaterThan(300);
    for (const c of cases) {
      const [name, description, objectives] = c.texts;
      const project: Startable = {
        execution_status: c.status as Startable["execution_status"],
        name: name ?? "",
        description: description ?? "",
        objectives: objectives ?? "",
        activation_code: { assigned: c.code !== "none", revoked_at: c.code === "revoked" ? "2026-03-01T12:00:00.000Z" : null },
        subscription_state: c.subscription === "" ? null : c.subscription,
      };
      const verdict = (reason: string) => ({ allowed: reason === "", reason: reason === "" ? null : reason });
      expect(canRunProject(project), JSON.stringify(c)).toEqual(verdict(c.run));
      expect(canRestartProject(project), JSON.stringify(c)).toEqual(verdict(c.restart));
    }
  });

  it("allow a restart of failed projects alone, and a run of pending ones alone", () => {
    for (const status of ["pending", "running", "completed", "failed"] as const) {
      const project = { ...good, execution_status: status };
      expect(canRestartProject(project).allowed).toBe(status === "failed");
      expect(canRunProject(project).allowed).toBe(status === "pending");
    }
  });

  it("do not judge a subscription that is not known yet", () => {
    expect(canRestartProject({ ...good, subscription_state: undefined })).toEqual({ allowed: true, reason: null });
    expect(canRestartProject({ ...good, subscription_state: null }).allowed).toBe(false);
  });

  it("name the first thing that is missing, in the server's order", () => {
    const bare = { ...good, name: " ", description: "", objectives: "", activation_code: { assigned: false, revoked_at: null } };
    expect(canRestartProject({ ...bare, subscription_state: "unpaid" }).reason).toBe(subscriptionProblem("unpaid"));
    expect(canRestartProject(bare).reason).toMatch(/activation code/);
    expect(canRestartProject({ ...bare, activation_code: good.activation_code }).reason).toMatch(/no name/);
  });
});
