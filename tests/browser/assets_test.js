// What the page is made of, and how vigild hands it out.
import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";

import { stopAll, temporaryFolder } from "./programs.js";
import { checkServedFiles, dashboard, pageFiles } from "./served_files.js";
import { startVigild } from "./servers.js";

after(stopAll);

describe("the files of the page", () => {
  test("of uPlot are those of the npm package, byte by byte", () => {
    const require = createRequire(import.meta.url);
    const packed = dirname(require.resolve("uplot/package.json"));
    const pinned = JSON.parse(readFileSync(join(dashboard, "package.json"), "utf8")).devDependencies.uplot;
    assert.equal(JSON.parse(readFileSync(join(packed, "package.json"), "utf8")).version, pinned);
    for (const [copy, original] of [["uPlot.iife.min.js", "dist/uPlot.iife.min.js"], ["uPlot.min.css", "dist/uPlot.min.css"], ["LICENSE", "LICENSE"]]) {
      assert.ok(readFileSync(join(dashboard, "assets/vendor", copy)).equals(readFileSync(join(packed, original))), copy);
    }
  });

  test("name no other origin, and hold nothing inline", () => {
    for (const file of pageFiles().filter((one) => !one.includes("vendor/"))) {
      const text = readFileSync(join(dashboard, file), "utf8");
      const urls = [...text.matchAll(/https?:\/\/[^\s"'`)]+/g)].map(([url]) => url).filter((url) => !url.startsWith("http://www.w3.org/"));
      assert.deepEqual(urls, [], file);
      assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function\(/, file);
    }
    const html = readFileSync(join(dashboard, "index.html"), "utf8");
    assert.doesNotMatch(html, /\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc=)/);
    assert.doesNotMatch(html, /(?:src|href)="\//, "addresses are relative, for a path prefix");
  });
});

describe("vigild", () => {
  test("hands them out packed, with ETags and a policy", async () => {
    await checkServedFiles(await startVigild(temporaryFolder()));
  });

  test("hands out a folder instead, for those who work on the page", async () => {
    const folder = temporaryFolder(), copy = join(folder, "page");
    cpSync(dashboard, copy, { recursive: true, filter: (from) => !from.includes("node_modules") });
    const vigild = await startVigild(folder, { flags: [`--web.assets-dir=${copy}`] });
    const home = async () => (await fetch(`${vigild.url}/`)).text();
    assert.equal(await home(), readFileSync(join(copy, "index.html"), "utf8"));
    writeFileSync(join(copy, "index.html"), "<!doctype html><title>changed</title>");
    assert.match(await home(), /changed/);
  });
});
