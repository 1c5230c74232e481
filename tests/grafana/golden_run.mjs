// The exposition that tests/exporters/golden_test.cpp agrees on, served as that of a run: it has every metric, also those of GPUs, clipping
// and rollbacks, which the trainings here have not.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";

/** Its label `run`, of characters that mean something to regular expressions. Grafana cannot cope with the quotation marks of the original. */
export const kGoldenRun = "golden (1.0)+";
const text = readFileSync(new URL("../exporters/golden/precision.txt", import.meta.url), "utf8").replaceAll(
  /run="(?:[^"\\]|\\.)*"/g,
  `run="${kGoldenRun}"`,
);
const kProcess = `# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 1e+09
`;

export class GoldenRun {
  /** @returns {Promise<GoldenRun>} */
  static async serve() {
    const run = new GoldenRun();
    let scrapes = 0;
    run.server = createServer((request, response) => {
      ++scrapes;
      // Rolled back, and restarted, again and again.
      const body = text
        // Of a model with tanh, which that of the exposition is not.
        .replaceAll(/^vigil_activation_dead_ratio(\{.*\} .*)$/gm, (line, rest) => `${line}\nvigil_activation_saturated_ratio${rest}`)
        .replaceAll(/^(vigil_rollbacks_total\{.*\}) .*$/gm, `$1 ${scrapes}`)
        .replaceAll(/^(vigil_start_time_seconds\{.*\}) .*$/gm, `$1 ${Math.floor(Date.now() / 1000)}`);
      response.setHeader("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
      response.end(body + kProcess);
    });
    await new Promise((resolve) => run.server.listen(0, "127.0.0.1", () => resolve(undefined)));
    run.address = `127.0.0.1:${run.server.address().port}`;
    return run;
  }

  end() {
    this.server.close();
    this.server.closeAllConnections();
  }
}
