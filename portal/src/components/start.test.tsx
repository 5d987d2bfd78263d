import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter, Route, Routes, useLocation } from "react-router";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { sessions } from "../lib/api";
import { makeQueryClient } from "../lib/queries";
import type { ExecutionStatus } from "../lib/projects";
import type { Verdict } from "../lib/rules";
import { StartButton, StarterMessage, useStarter } from "./start";

const free: Verdict = { allowed: true, reason: null };

function Page({ status, verdict, attempt }: { status: ExecutionStatus; verdict: Verdict; attempt: number }) {
  const starter = useStarter("price-list");
  return (
    <>
      <StarterMessage starter={starter} status={status} attempt={attempt} />
      <StartButton status={status} attempt={attempt} verdict={verdict} starter={starter} />
    </>
  );
}

function Where() {
  return <p>at {useLocation().pathname}</p>;
}

function show(status: ExecutionStatus, verdict: Verdict = free, attempt = 1) {
  return render(
    <QueryClientProvider client={makeQueryClient()}>
      <MemoryRouter initialEntries={["/projects/price-list"]}>
        <Routes>
          <Route path="/projects/:id" element={<Page status={status} verdict={verdict} attempt={attempt} />} />
          <Route path="*" element={<Where />} />
        </Routes>
      </MemoryRouter>
    </QueryClientProvider>,
  );
}

interface Sent {
  url: string;
  key: string | null;
  body: unknown;
}

/** Answers each request with the next of the answers, when it is let go. */
function server(...answers: (() => Promise<Response>)[]): Sent[] {
  const sent: Sent[] = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    sent.push({ url, key: new Headers(init.headers).get("Idempotency-Key"), body: init.body });
    return answers.shift()?.() ?? Promise.reject(new TypeError("no answer left"));
  });
  return sent;
}

const started = () => Promise.resolve(new Response('{"success":true,"status":"running"}'));
const lost = () => Promise.reject(new TypeError("failed to fetch"));
const refused = (status: number, body: object) => () => Promise.resolve(new Response(JSON.stringify(body), { status }));

beforeEach(() => {
  sessions.start({ token: "acme.secret", expiresAt: new Date(Date.now() + 3_600_000).toISOString(), tenantId: "acme", tenantSlug: "acme", tenantName: "Acme" });
});
afterEach(cleanup);

const restart = () => screen.getByRole("button", { name: "🔄 RESTART PROJECT" });

describe("StartButton", () => {
  it("is restart for a failed project, run for a pending one, and nothing otherwise", () => {
    const names: Record<ExecutionStatus, string[]> = { failed: ["🔄 RESTART PROJECT"], pending: ["▶ RUN PROJECT"], running: [], completed: [] };
    for (const [status, want] of Object.entries(names)) {
      show(status as ExecutionStatus);
      expect(screen.queryAllByRole("button").map((b) => b.textContent.trim())).toEqual(want);
      cleanup();
    }
  });

  it("says why it is disabled, stays in reach of the keyboard, and sends nothing", async () => {
    const sent = server();
    const user = userEvent.setup();
    show("failed", { allowed: false, reason: "The project has no objectives: fill it in to run the project" });
    await user.tab();
    expect(document.activeElement).toBe(restart());
    expect(restart().getAttribute("aria-disabled")).toBe("true");
    const tip = document.getElementById(restart().getAttribute("aria-describedby") ?? "");
    expect(tip?.textContent).toBe("The project has no objectives: fill it in to run the project");
    expect(tip?.getAttribute("role")).toBe("tooltip");
    await user.keyboard("{Enter}");
    await user.click(restart());
    expect(sent).toHaveLength(0);
  });

  it("makes one request of a double click and of Enter twice, and says that it is busy", async () => {
    let go: () => void = () => undefined;
    const sent = server(() => new Promise((resolve) => (go = () => resolve(new Response("{}")))));
    const user = userEvent.setup();
    show("failed", free, 3);
    await user.dblClick(restart());
    await user.keyboard("{Enter}{Enter}");
    const busy = screen.getByRole("button", { name: "Restarting…" });
    expect(busy.getAttribute("aria-disabled")).toBe("true");
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({ url: "/api/tenant/projects/price-list/restart", body: '{"expected_attempt":3}' });
    go();
    await screen.findByText("at /projects/price-list/status");
    expect(sent).toHaveLength(1);
  });

  it("keeps its key when the answer was lost and the user tries again", async () => {
    const sent = server(lost, started);
    const user = userEvent.setup();
    show("failed");
    await user.click(restart());
    const alert = await screen.findByRole("alert");
    expect(alert.textContent).toContain("It is not known whether the project was restarted");
    await user.click(await screen.findByRole("button", { name: "Try again" }));
    await screen.findByText("at /projects/price-list/status");
    expect(sent.map((s) => s.key)).toEqual([sent[0]?.key, sent[0]?.key]);
  });

  it("says what happened when somebody else was quicker, and takes a new key", async () => {
    const differs = { detail: "The project is at attempt 2 with status running", code: "attempt_differs", attempt: 2, status: "running" };
    const sent = server(refused(409, differs), started);
    const user = userEvent.setup();
    show("failed");
    await user.click(restart());
    await screen.findByText(/It is at attempt 2 now, with the status running/);
    expect(screen.queryByRole("button", { name: "Try again" })).toBeNull();
    await user.click(restart());
    await screen.findByText("at /projects/price-list/status");
    expect(sent[0]?.key).not.toBe(sent[1]?.key);
  });

  it("shows a refusal in the server's words", async () => {
    server(refused(400, { detail: "A trial runs one project at a time, and other is running", code: "trial_slot_taken" }));
    const user = userEvent.setup();
    show("pending", free, 0);
    await user.click(screen.getByRole("button", { name: "▶ RUN PROJECT" }));
    expect((await screen.findByRole("alert")).textContent).toContain("A trial runs one project at a time, and other is running");
  });

  it("ends the session on a 401, and sends nothing more", async () => {
    const sent = server(refused(401, { detail: "Session expired", code: "session_expired" }));
    const user = userEvent.setup();
    show("failed");
    await user.click(restart());
    await waitFor(() => expect(sessions.state()).toMatchObject({ session: null, ended: "expired" }));
    expect(sent).toHaveLength(1);
  });
});
