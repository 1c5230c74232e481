// What the tests of deploy/ read: its files, and what has to be one thing in several of them.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { DockerfileParser } from "dockerfile-ast";
import { parse, parseAllDocuments } from "yaml";

export const kRoot = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const kDeploy = join(kRoot, "deploy");

/**
 * @param {string[]} path below deploy/
 * @returns {string}
 */
export const text = (...path) => readFileSync(join(kDeploy, ...path), "utf8");

/** The services, volumes and networks of compose.yml, with its merge keys followed. */
export const compose = () => parse(text("compose", "compose.yml"), { merge: true });

/**
 * Every object in the manifests of deploy/kubernetes, but for the kustomization, which is none.
 * @returns {{file: string, object: any}[]}
 */
export function manifests() {
  const files = ["", "example"]
    .flatMap((folder) => readdirSync(join(kDeploy, "kubernetes", folder)).map((name) => join(folder, name)))
    .filter((file) => file.endsWith(".yaml") && file !== "kustomization.yaml")
    .sort();
  return files.flatMap((file) => parseAllDocuments(text("kubernetes", file)).map((document) => ({ file, object: document.toJS() })));
}

/**
 * @param {string} kind
 * @param {string} [name]
 * @returns {any} the only object of that kind and name
 */
export function manifest(kind, name) {
  const found = manifests().filter(({ object }) => object.kind === kind && (name === undefined || object.metadata.name === name));
  if (found.length !== 1) throw new Error(`deploy/kubernetes has ${found.length} objects of kind ${kind}, expected one`);
  return found[0].object;
}

/**
 * The instructions of the Dockerfile by stage.
 * @returns {Map<string, {keyword: string, arguments: string}[]>}
 */
export function stages() {
  const found = new Map();
  let stage = [];
  for (const instruction of DockerfileParser.parse(text("container", "Dockerfile")).getInstructions()) {
    const flags = (instruction.getFlags?.() ?? []).map((flag) => `--${flag.getName()}=${flag.getValue()} `).join("");
    const words = flags + (instruction.getArgumentsContent() ?? "").replace(/\\\n\s*/g, " ").trim();
    const keyword = instruction.getKeyword();
    if (keyword === "FROM") found.set(/ AS (\S+)$/i.exec(words)?.[1] ?? "", (stage = []));
    stage.push({ keyword, arguments: words });
  }
  return found;
}

/**
 * What a stage says with the last instruction of a kind, such as CMD in its form of a list.
 * @param {string} stage
 * @param {string} keyword
 * @returns {string}
 */
export function instruction(stage, keyword) {
  const said = stages()
    .get(stage)
    .filter((one) => one.keyword === keyword);
  if (said.length === 0) throw new Error(`stage ${stage} of the Dockerfile has no ${keyword}`);
  return said[said.length - 1].arguments;
}

/**
 * The packages that a stage installs with apt-get.
 * @param {string} stage
 * @returns {string[]}
 */
export function packages(stage) {
  const runs = stages()
    .get(stage)
    .filter(({ keyword }) => keyword === "RUN")
    .map((one) => one.arguments);
  return runs
    .flatMap((run) => [...run.matchAll(/apt-get install([^&]*)/g)])
    .flatMap(([, words]) => words.split(/\s+/))
    .filter((word) => word !== "" && !word.startsWith("-"));
}

/** The version of the project, which the images have. */
export const version = () => /project\(vigil VERSION (\S+)/.exec(readFileSync(join(kRoot, "CMakeLists.txt"), "utf8"))[1];
