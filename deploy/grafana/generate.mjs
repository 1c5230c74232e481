// Compiles source/ (tsc in strict mode: the types are Grafana's schema) and writes what it describes as JSON.
//   node generate.mjs [FOLDER]    default: dashboards/ beside this file
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const home = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? join(home, "dashboards"));

let compiler;
try {
  compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
} catch {
  console.error("generate.mjs: TypeScript is missing; run scripts/setup.sh, or npm ci --ignore-scripts in deploy/grafana");
  process.exit(1);
}

// Below node_modules/, so that the compiled modules find their packages; a folder of its own, as several builds may run at a time.
const cache = join(home, "node_modules", ".cache");
mkdirSync(cache, { recursive: true });
const compiled = mkdtempSync(join(cache, "vigil-"));
try {
  const run = spawnSync(process.execPath, [compiler, "--project", home, "--outDir", compiled], { stdio: "inherit" });
  if (run.status !== 0) process.exitCode = 1;
  else {
    writeFileSync(join(compiled, "package.json"), '{"type": "module"}\n');
    const { dashboards } = await import(pathToFileURL(join(compiled, "index.js")).href);
    mkdirSync(target, { recursive: true });
    for (const dashboard of dashboards) {
      writeFileSync(join(target, `${dashboard.uid}.json`), JSON.stringify(dashboard, null, 2) + "\n");
    }
  }
} finally {
  rmSync(compiled, { recursive: true, force: true });
}
