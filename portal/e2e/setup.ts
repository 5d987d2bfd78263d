// Starts the stack that all tests of a run share, and ends it after them.
import { spawn, execFile, type ChildProcess } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { makeSeed } from "./seed";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..", "..");

/** What the tests are told of the stack, by way of the environment. */
export interface Stack {
  url: string;
  /** Where gates are opened, mails lie, tenants are taken, and the operator's command line is. */
  gates: string;
  mail: string;
  taken: string;
  rekindlectl: string;
  data: string;
  tenants: ReturnType<typeof makeSeed>["tenants"];
}

export default async function setup(): Promise<() => Promise<void>> {
  if (!existsSync(join(root, "portal", "dist", "index.html"))) throw new Error("The portal is not built: run `make portal`");
  const home = mkdtempSync(join(tmpdir(), "rekindle-e2e-"));
  let stack: ChildProcess | undefined;
  const end = async () => {
    if (stack !== undefined) await stop(stack);
    rmSync(home, { recursive: true, force: true });
  };
  try {
    const bin = join(home, "bin");
    const [temporary, gates, taken] = ["tmp", "gates", "taken"].map((name) => {
      mkdirSync(join(home, name));
      return join(home, name);
    }) as [string, string, string];
    await run("go", ["build", "-o", `${bin}/`, "./infra/local", "./infra/sample", "./infra/rekindlectl"], { cwd: root });
    const seed = makeSeed();
    writeFileSync(join(home, "seed.json"), JSON.stringify(seed.file));
    const command = [process.execPath, join(import.meta.dirname, "command.mjs"), gates, join(bin, "sample")];
    // Without a data folder it keeps nothing, and stops what runs when it ends.
    stack = spawn(join(bin, "local"), ["-listen", "127.0.0.1:0", "-data", "", "-seed", join(home, "seed.json")], {
      cwd: root,
      // A folder of its own for what is temporary: its data is found there.
      env: { ...process.env, TMPDIR: temporary, PROJECT_HEARTBEAT_SECONDS: "1", PROJECT_COMMAND: JSON.stringify(command) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const url = await ready(stack, join(import.meta.dirname, "results", "stack.log"));
    const data = readdirSync(temporary).map((name) => join(temporary, name)).find((folder) => existsSync(join(folder, "stack.json")));
    if (data === undefined) throw new Error(`no data folder of the stack in ${temporary}`);
    const told: Stack = { url, gates, taken, data, mail: join(data, "mail"), rekindlectl: join(bin, "rekindlectl"), tenants: seed.tenants };
    process.env.REKINDLE_E2E = JSON.stringify(told);
  } catch (error) {
    await end();
    throw error;
  }
  return end;
}

/** Waits for the line "ready URL". The stack's log goes into a file. */
function ready(stack: ChildProcess, logFile: string): Promise<string> {
  mkdirSync(join(logFile, ".."), { recursive: true });
  stack.stderr?.pipe(createWriteStream(logFile));
  return new Promise((resolve, reject) => {
    stack.once("error", reject);
    stack.once("exit", (code) => reject(new Error(`the stack ended with ${code}: see ${logFile}`)));
    if (stack.stdout === null) throw new Error("the stack has no output");
    createInterface(stack.stdout).on("line", (line) => {
      if (line.startsWith("ready ")) resolve(line.slice("ready ".length));
    });
  });
}

async function stop(stack: ChildProcess): Promise<void> {
  if (stack.exitCode !== null || stack.signalCode !== null) return;
  const ended = new Promise((resolve) => stack.once("exit", resolve));
  stack.kill("SIGTERM");
  const last = setTimeout(() => stack.kill("SIGKILL"), 30_000);
  await ended;
  clearTimeout(last);
}
