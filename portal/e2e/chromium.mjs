// Finds the Chromium that the browser tests use: the one that CHROMIUM names,
// else the first on PATH. Run as a program it prints its path, or says how to get
// one and exits 1.
import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const names = ["chromium", "chromium-browser", "google-chrome"];

export const howToGet =
  "No Chromium was found: `make chromium` installs Debian's (as root), or set CHROMIUM to the path of one (Chrome will do).";

/** The path of a Chromium, or null. A CHROMIUM that is no program is none. */
export function findChromium(env = process.env) {
  const given = env.CHROMIUM ?? "";
  if (given !== "") return given.includes("/") ? runnable(given) : onPath(given, env);
  for (const name of names) {
    const found = onPath(name, env);
    if (found !== null) return found;
  }
  return null;
}

function onPath(name, env) {
  for (const folder of (env.PATH ?? "").split(delimiter)) {
    const found = folder === "" ? null : runnable(join(folder, name));
    if (found !== null) return found;
  }
  return null;
}

function runnable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile() ? path : null;
  } catch {
    return null;
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const found = findChromium();
  if (found === null) {
    console.error(howToGet);
    process.exit(1);
  }
  console.log(found);
}
