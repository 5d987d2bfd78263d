// What the stack of the tests begins with: tenants that each test takes one of,
// so that no two tests meet.
import { randomBytes } from "node:crypto";

export type Kind = "standard" | "empty" | "thousand" | "long";

export interface Tenant {
  id: string;
  slug: string;
  name: string;
  email: string;
  token: string;
}

/** How many tenants of each kind there are. */
export const counts: Record<Kind, number> = { standard: 120, empty: 16, thousand: 1, long: 32 };

/** The projects that a standard tenant has. */
export const ids = {
  /** Pending, and completes when it is run. */
  pending: "product-site",
  /** Pending, and fails when it is run. */
  breaking: "price-list",
  /** Pending, without an activation code. */
  bare: "bare-idea",
  /** Failed; it completes when it is restarted. */
  failed: "help-pages",
  /** Running for ten minutes, as attempt 2; no process stands behind it. */
  running: "autumn-campaign",
  /** Completed as attempt 1. */
  completed: "careers",
  /** Running for 21 hours, as attempt 1. This one and the next are of the tenants of the kind "long". */
  late: "catalogue",
  /** Running for 25 hours: the next sweep fails it. */
  overdue: "archive",
} as const;

const code = (n: number) => `E2E${String(n).padStart(5, "2").replace(/[01]/g, "3")}`;

function projectsOf(tenant: Tenant, n: number): object[] {
  const of = (project_id: string, name: string, more: object) => ({
    tenant_id: tenant.id, project_id, name, activation_code: code(n) + project_id,     objectives: "Welcome\nOur product\nContact", ...more,
  });
  return [
    of(ids.completed, "Careers", {
      description: "Open positions, and how to apply",
      execution_status: "completed", execution_id: 100001, attempt: 1, execution_started_at: "-26h", execution_completed_at: "-25h",
    }),
    of(ids.running, "Autumn campaign", {
      description: "Landing pages of the autumn offers",
      execution_status: "running", execution_id: 100002, attempt: 2, execution_started_at: "-10m", objectives: "Welcome\nOffers",
    }),
    of(ids.failed, "Help pages", {
      description: "First steps, questions and answers",
      execution_status: "failed", execution_id: 100003, attempt: 1, execution_started_at: "-3h", execution_completed_at: "-2h",
      execution_error: "The disk was full", objectives: "First steps\nQuestions and answers",
    }),
    of(ids.bare, "Bare idea", { description: "Something for the spring", activation_code: "" }),
    of(ids.breaking, "Price list", { description: "What things cost, by country", objectives: "Welcome\nfail: the price list is empty" }),
    of(ids.pending, "Product site", { description: "The pages that visitors see first" }),
  ];
}

/** Runs that take long. No process stands behind them; restarted, they complete. */
function longRunsOf(tenant: Tenant, n: number): object[] {
  const of = (project_id: string, name: string, description: string, execution_id: number, started: string) => ({
    tenant_id: tenant.id, project_id, name, description, objectives: "Welcome", activation_code: `${code(n)}LONG${project_id}`,
    execution_status: "running", execution_id, attempt: 1, execution_started_at: started,
  });
  return [
    of(ids.overdue, "Archive", "Every page since 1998", 100011, "-25h"),
    of(ids.late, "Catalogue", "All products, in nine languages", 100012, "-21h"),
  ];
}

/** The tenants, by kind, and the seed file of the stack. */
export function makeSeed(): { tenants: Record<Kind, Tenant[]>; file: object } {
  const tenants: Record<Kind, Tenant[]> = { standard: [], empty: [], thousand: [], long: [] };
  const projects: object[] = [];
  for (const kind of Object.keys(counts) as Kind[]) {
    for (let n = 0; n < counts[kind]; n++) {
      const id = `${kind}-${n}`;
      const tenant = { id, slug: id, name: "Northwind Studio", email: `${id}@example.com`, token: `${id}.${randomBytes(24).toString("base64url")}` };
      tenants[kind].push(tenant);
      if (kind === "standard") projects.push(...projectsOf(tenant, n));
      if (kind === "long") projects.push(...longRunsOf(tenant, n));
      if (kind === "thousand") {
        for (let i = 1; i <= 1000; i++) {
          projects.push({
            tenant_id: id, project_id: `project-${i}`, name: `Project ${String(i).padStart(4, "0")}`, description: "One of a thousand",
            objectives: "Welcome", ...(i % 250 === 0 && {
              execution_status: "failed", execution_id: 200000 + i, attempt: 1, execution_started_at: "-2h",
              execution_completed_at: "-1h", execution_error: `The reason of ${i}`,
            }),
          });
        }
      }
    }
  }
  const all = Object.values(tenants).flat();
  return {
    tenants,
    file: {
      tenants: all.map((t) => ({ tenant_id: t.id, name: t.name, slug: t.slug, email: t.email, subscription_state: "active", session_token: t.token })),
      projects,
    },
  };
}
