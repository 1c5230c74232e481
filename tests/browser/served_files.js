// @ts-check
// The files of the page as a server hands them out.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const dashboard = fileURLToPath(new URL("../../dashboard", import.meta.url));

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const types = /** @type {Record<string, RegExp>} */ ({ html: /^text\/html/, js: /^(text|application)\/javascript/, css: /^text\/css/, svg: /^image\/svg\+xml/ });

/** @param {string} folder @returns {string[]} files in it and below */
function filesIn(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? filesIn(join(folder, entry.name)) : [join(folder, entry.name)]));
}

/** Every file below dashboard/ that is a part of the page. */
export function pageFiles() {
  return ["index.html", ...filesIn(join(dashboard, "assets")).map((file) => relative(dashboard, file)).filter((file) => /\.(html|js|css|svg)$/.test(file))];
}

/** The server hands out the page as it lies in dashboard/, packed, and with a policy that lets nothing leave. @param {import("./servers.js").Server} server */
export async function checkServedFiles(server) {
  const home = await fetch(`${server.url}/`);
  const words = (/** @type {string | null} */ text) => new Set((text ?? "").split(";").map((word) => word.trim()).filter(Boolean));
  assert.deepEqual(words(home.headers.get("content-security-policy")), words(policy));
  assert.equal(home.headers.get("x-content-type-options"), "nosniff");
  for (const file of pageFiles()) {
    const path = file === "index.html" ? "/" : `/${file}`;
    const answer = await fetch(server.url + path, { headers: { "Accept-Encoding": "gzip" } });
    assert.equal(answer.status, 200, path);
    assert.match(answer.headers.get("content-type") ?? "", types[file.slice(file.lastIndexOf(".") + 1)], path);
    assert.equal(answer.headers.get("content-encoding"), "gzip", path);
    assert.ok(Buffer.from(await answer.arrayBuffer()).equals(readFileSync(join(dashboard, file))), `${path} is not dashboard/${file}: build again?`);
    const etag = answer.headers.get("etag");
    assert.ok(etag, `${path} has an ETag`);
    const again = await fetch(server.url + path, { headers: { "If-None-Match": etag, "Accept-Encoding": "gzip" } });
    assert.equal(again.status, 304, `${path} again`);
  }
  for (const path of ["/assets/", "/assets/none.js", "/assets/%2e%2e/index.html", "/assets/..%2f..%2fREADME.md"]) assert.equal((await fetch(server.url + path)).status, 404, path);
}
