// The committed dashboards are what their description makes; it compiles in TypeScript's strict mode, whose types are Grafana's schema.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const grafana = fileURLToPath(new URL("../../deploy/grafana/", import.meta.url));

function temporary(context) {
  const folder = mkdtempSync(join(tmpdir(), "vigil-dashboards-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

for (const [place, output] of [
  ["grafana", "dashboards"],
  ["mixin", "rules"],
]) {
  test(`what deploy/${place}/generate.mjs makes is what is committed`, (context) => {
    const folder = temporary(context);
    const committed = join(grafana, "..", place, output);
    const run = spawnSync(process.execPath, [join(grafana, "..", place, "generate.mjs"), folder], { encoding: "utf8" });
    assert.equal(run.status, 0, run.stdout + run.stderr);
    assert.deepEqual(readdirSync(folder).sort(), readdirSync(committed).sort());
    for (const name of readdirSync(folder)) {
      assert.equal(
        readFileSync(join(folder, name), "utf8"),
        readFileSync(join(committed, name), "utf8"),
        `${name} is out of date: node deploy/${place}/generate.mjs writes it anew`,
      );
    }
  });
}

test("what is not of Grafana's schema does not compile", (context) => {
  const folder = temporary(context);
  for (const name of ["generate.mjs", "package.json", "tsconfig.json", "source"])
    cpSync(join(grafana, name), join(folder, name), { recursive: true });
  symlinkSync(join(grafana, "node_modules"), join(folder, "node_modules"));
  const broken = join(folder, "source", "panels.ts");
  writeFileSync(broken, readFileSync(broken, "utf8").replace(".calculate(false)", '.calculate("no")'));
  const run = spawnSync(process.execPath, [join(folder, "generate.mjs"), join(folder, "dashboards")], { encoding: "utf8" });
  assert.equal(run.status, 1);
  assert.match(run.stdout, /source\/panels\.ts\(\d+,\d+\): error TS2345: Argument of type 'string' is not assignable to parameter of type 'boolean'/);
});
