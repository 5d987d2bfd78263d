// Which projects may be run and restarted, and why not: the server's checks in
// the server's order and words (internal/project, CheckStart). They only decide
// what a button shows; the server judges each request anew. A test holds them to
// the server's own sentences.

import type { ExecutionStatus } from "./projects";

/** What the rules look at. */
export interface Startable {
  execution_status: ExecutionStatus;
  name: string;
  description: string;
  objectives: string;
  activation_code: { assigned: boolean; revoked_at: string | null };
  /** Null: none. Undefined: not known yet, so not judged. */
  subscription_state?: string | null | undefined;
}

export interface Verdict {
  allowed: boolean;
  /** Why not; null where it is allowed. */
  reason: string | null;
}

const allowed: Verdict = { allowed: true, reason: null };
const refused = (reason: string): Verdict => ({ allowed: false, reason });

/** Whether a project may be run: only a pending one. */
export function canRunProject(project: Startable): Verdict {
  switch (project.execution_status) {
    case "pending":
      return prerequisites(project);
    case "failed":
      return refused("Only pending projects can be run. Current status: failed. Use restart to run it again");
    default:
      return refused(`Only pending projects can be run. Current status: ${project.execution_status}`);
  }
}

/** Whether a project may be restarted: only a failed one. */
export function canRestartProject(project: Startable): Verdict {
  if (project.execution_status === "failed") return prerequisites(project);
  return refused(`Only failed projects can be restarted. Current status: ${project.execution_status}`);
}

function prerequisites(project: Startable): Verdict {
  const subscription = subscriptionProblem(project.subscription_state);
  if (subscription !== null) return refused(subscription);
  if (!project.activation_code.assigned) return refused("The project has no activation code: assign one to run it");
  if (project.activation_code.revoked_at !== null) {
    return refused("The project's activation code was revoked: assign another to run it");
  }
  for (const field of ["name", "description", "objectives"] as const) {
    if (isBlank(project[field])) return refused(`The project has no ${field}: fill it in to run the project`);
  }
  return allowed;
}

/** Why a subscription does not allow creating and running projects, or null. */
export function subscriptionProblem(state: string | null | undefined): string | null {
  switch (state) {
    case undefined:
    case "active":
    case "trialing":
      return null;
    case null:
    case "":
      return "Your account has no subscription: projects can't be created or run without one";
    case "past_due":
      return "Your subscription is past due: settle the open invoice to create and run projects";
    case "canceled":
      return "Your subscription was canceled: renew it to create and run projects";
    case "unpaid":
      return "Your subscription is unpaid: pay it to create and run projects";
    case "suspended":
      return "Your account is suspended: contact support to create and run projects";
    default:
      return `Your subscription does not allow creating and running projects. Current state: ${state}`;
  }
}

/** Unicode's white space, as the server has it; String.trim has other ideas. */
function isBlank(text: string): boolean {
  return !/\P{White_Space}/u.test(text);
}
