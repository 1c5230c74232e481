// deploy/container: what the Dockerfile copies is what an installation makes, and what it installs is what the programs need.
// VIGIL_BUILD_DIR: a build with everything that is installed, and with the examples.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { instruction, kRoot, packages, stages, version } from "./deployment.mjs";

const build = process.env.VIGIL_BUILD_DIR;
const kBase = /^debian:12\.\d+-slim AS \w+$/;

/** What a program prints. @throws where it fails */
function output(...command) {
  const run = spawnSync(command[0], command.slice(1), { encoding: "utf8" });
  assert.equal(run.status, 0, `${command.join(" ")}: ${run.error ?? run.stderr}`);
  return run.stdout;
}

const debian = /^VERSION_ID="?(\d+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
/** Another Debian has other versions in the names of its libraries: libtorch1.13 and libtorch2.6, libcurl4 and libcurl4t64. */
const comparable = (name) => (debian === "12" ? name : name.replace(/t64$/, "").replace(/[\d.-]+(v5)?$/, ""));

/** The packages whose libraries a program names itself; what those need comes with them. */
function needed(program) {
  const names = [...output("readelf", "--dynamic", program).matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name);
  const places = new Map([...output("ldd", program).matchAll(/^\s*(\S+) => (\S+)/gm)].map(([, name, path]) => [name, path]));
  const paths = names.filter((name) => places.has(name)).map((name) => realpathSync(places.get(name)));
  // Packages that were built before /lib became a link name their files by it; of one of the two names dpkg knows nothing.
  const both = (path) => [path, path.replace(/^\/usr/, "")];
  const { stdout } = spawnSync("dpkg", ["--search", ...paths.flatMap(both)], { encoding: "utf8" });
  const owners = new Map([...stdout.matchAll(/^([^:\s]+)(?::\w+)?: (.*)$/gm)].map(([, owner, path]) => [path, owner]));
  return paths.map((path) => {
    const owner = both(path)
      .map((one) => owners.get(one))
      .find((one) => one !== undefined);
    assert.ok(owner !== undefined, `${path} belongs to no package`);
    return owner;
  });
}

test("stages stand on a pinned Debian 12 or on each other", () => {
  for (const [name, [from]] of stages()) {
    const base = from.arguments.split(" ")[0];
    assert.ok(kBase.test(from.arguments) || stages().has(base), `${name}: ${from.arguments}`);
  }
  assert.match(stages().get("vigild")[0].arguments, kBase, "without the compiler");
  assert.match(stages().get("trainer")[0].arguments, kBase, "without the compiler");
});

test("images run as a user without rights, tell their health and who they are", () => {
  for (const stage of ["vigild", "trainer"]) {
    assert.match(instruction(stage, "USER"), /^[1-9]\d+:[1-9]\d+$/);
    const [uid, gid] = instruction(stage, "USER").split(":");
    const made = stages()
      .get(stage)
      .find(({ keyword }) => keyword === "RUN").arguments;
    assert.ok(made.includes(`groupadd --gid ${gid} vigil`) && made.includes(`useradd --uid ${uid} --gid vigil`), stage);
    const port = instruction(stage, "EXPOSE");
    assert.match(instruction(stage, "HEALTHCHECK"), new RegExp(`"curl".*"http://127\\.0\\.0\\.1:${port}/-/(ready|healthy)"`));
    assert.ok(packages(stage).includes("curl"), "which HEALTHCHECK runs");
    assert.match(instruction(stage, "ARG"), new RegExp(`^VIGIL_VERSION=${version().replaceAll(".", "\\.")}$`));
    for (const label of ["title", "description", "version", "licenses"]) {
      assert.ok(instruction(stage, "LABEL").includes(`org.opencontainers.image.${label}=`), `${stage}: ${label}`);
    }
    assert.equal(instruction(stage, "ENTRYPOINT")[0], "[", "a shell would take the signals");
  }
});

test("what is copied is there after an installation", () => {
  const folder = mkdtempSync(join(tmpdir(), "vigil-stage-"));
  try {
    // The commands of the stage build, but for configuring and compiling.
    const run = stages()
      .get("build")
      .find(({ keyword }) => keyword === "RUN").arguments;
    const install = /DESTDIR=\/stage (cmake --install) build\/release (--prefix \/usr --strip)/.exec(run);
    const trainer = /install -D --strip build\/release\/(\S+) \/stage(\S+)/.exec(run);
    assert.ok(install !== null && trainer !== null, run);
    output("env", `DESTDIR=${folder}`, "cmake", "--install", build, ...install[2].split(" "));
    output("install", "-D", "--strip", join(build, trainer[1]), join(folder, trainer[2]));

    const programs = [];
    for (const stage of ["vigild", "trainer"]) {
      for (const { keyword, arguments: words } of stages().get(stage)) {
        if (keyword !== "COPY") continue;
        const [from, ...paths] = words.startsWith("--from=") ? words.split(" ") : ["", ...words.split(" ")];
        for (const path of paths.slice(0, -1)) {
          if (from === "--from=build") {
            assert.ok(path.startsWith("/stage/") && existsSync(path.replace("/stage", folder)), `${stage}: ${path}`);
            if (/^\/stage\/usr\/(bin|libexec)\//.test(path)) programs.push([stage, path.replace("/stage", folder)]);
          } else if (from === "") {
            assert.ok(existsSync(join(kRoot, path)), `${stage}: ${path}`);
          } else {
            assert.equal(`${from} ${path}`, "--from=data /src/build/deps/mnist", "which scripts/setup.sh --demo makes");
          }
        }
      }
    }
    assert.equal(programs.length, 3);
    for (const [stage, program] of programs) {
      assert.match(output(program, program.endsWith("mnist") ? "--help" : "--version"), /./);
      const installed = packages(stage).map(comparable),
        missing = needed(program)
          .map(comparable)
          .filter((name) => name !== "libc6" && name !== "libc");
      for (const name of missing) assert.ok(installed.includes(name), `${stage} does not install ${name}, which ${program} needs`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("no package is installed that no program needs", () => {
  // Beside libraries: what the images call, and the BLAS that libtorch loads by its alternative.
  const called = ["ca-certificates", "curl", "libopenblas0-openmp"];
  const of = { vigild: ["daemon/vigild", "tools/vigil"], trainer: ["examples/mnist"] };
  for (const [stage, programs] of Object.entries(of)) {
    const wanted = programs.flatMap((program) => needed(join(build, program))).map(comparable);
    for (const name of packages(stage).filter((one) => !called.includes(one))) {
      assert.ok(wanted.includes(comparable(name)), `${stage}: ${name}`);
    }
  }
});
