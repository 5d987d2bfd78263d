// Prints what a first visit loads, compressed, and fails over the limit. It
// counts every script of the build, whether or not a page loads it later.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const limit = 120_000;
const folder = new URL("../dist/assets/", import.meta.url).pathname;
let total = 0;
for (const name of readdirSync(folder).sort()) {
  const size = gzipSync(readFileSync(join(folder, name)), { level: 9 }).length;
  console.log(`${String(size).padStart(7)} bytes compressed  ${name}`);
  if (name.endsWith(".js")) total += size;
}
console.log(`${String(total).padStart(7)} bytes of JavaScript, of at most ${limit}`);
if (total > limit) {
  console.error("The portal's JavaScript is over its limit.");
  process.exit(1);
}
