// What runs the projects of the browser tests: the sample command, held up where
// the objectives say "gate: NAME" until a test opens that gate, which is a file.
//
//   node command.mjs GATES SAMPLE
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, watch } from "node:fs";
import { join } from "node:path";

const [gates, sample] = process.argv.slice(2);
const rest = [];
for (const line of (process.env.PROJECT_OBJECTIVES ?? "").split("\n")) {
  const [word, name = ""] = line.split(/:\s*/, 2);
  if (word === "gate") await passes(name.trim());
  else rest.push(line);
}
const done = spawnSync(sample, { stdio: "inherit", env: { ...process.env, PROJECT_OBJECTIVES: rest.join("\n") } });
process.exit(done.status ?? 1);

async function passes(name) {
  console.log(`waiting at ${name}`);
  appendFileSync(process.env.PROGRESS_FILE, `40 Waiting at ${name}\n`);
  const file = join(gates, name);
  await new Promise((resolve) => {
    const watcher = watch(gates, () => {
      if (!existsSync(file)) return;
      watcher.close();
      resolve();
    });
    if (existsSync(file)) {
      watcher.close();
      resolve();
    }
  });
  appendFileSync(process.env.PROGRESS_FILE, `60 Passed ${name}\n`);
}
