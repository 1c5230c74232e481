// What vigil costs, and whether it works: in the trainers, and as a daemon.
import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";

import { datasource, instance, job, queryVariable, rank, run, sheet } from "./frame.js";
import { columns, number, series } from "./panels.js";
import { increase, kDaemon, kProcess, of, rate } from "./selectors.js";

const kOutcome = "{{outcome}}";

export const itself: Dashboard = sheet({
  uid: "vigil-itself",
  title: "vigil / vigil itself",
  description: "What vigil costs the trainers, whether all it saw was exported and kept, and how vigild does.",
  variables: [
    datasource(),
    job(),
    run(true),
    rank(),
    instance(),
    queryVariable({
      name: "vigild",
      label: "vigild",
      description: "Daemons, by the target of their scrape.",
      query: "label_values(vigil_daemon_runs, instance)",
      allValue: ".+",
    }),
  ],
  hasRank: true,
  parts: [
    {
      title: "In the trainers",
      panels: [
        number(
          {
            title: "Overhead",
            description: "Share of the training thread's time that is spent in vigil, of the rank with most.",
            unit: "percentunit",
            decimals: 2,
          },
          { expr: `max(${of("vigil_overhead_ratio")})`, legend: "of the time" },
          [null, "green", 0.05, "orange", 0.2, "red"],
        ),
        number(
          { title: "Records lost", description: "Overwritten before they were exported, since the runs began.", unit: "locale" },
          { expr: `sum(${of("vigil_ring_overwritten_total")})`, legend: "records" },
          [null, "green", 1, "orange"],
        ),
        number(
          {
            title: "Failures of hooks",
            description: "Steps on which a hook failed, or vigil was called in a way that cannot be meant.",
            unit: "locale",
          },
          { expr: `sum(${of("vigil_hook_errors_total")})`, legend: "failures" },
          [null, "green", 1, "red"],
        ),
        number(
          { title: "Failures of exporters", description: "Such as a file that cannot be written.", unit: "locale", noValue: "not scraped" },
          { expr: `sum(${of("vigil_exporter_errors_total")})`, legend: "failures" },
          [null, "green", 1, "red"],
        ),
        number(
          { title: "Series left out", description: "Per-tensor series that max_series keeps out.", unit: "locale" },
          { expr: `sum(${of("vigil_series_dropped_total")})`, legend: "series" },
          [null, "green", 1, "orange"],
        ),
        number(
          { title: "Alerts dropped", description: "Alerts that were not kept, and messages that a receiver did not take in time.", unit: "locale" },
          { expr: `sum(${of("vigil_alerts_dropped_total")})`, legend: "alerts" },
          [null, "green", 1, "orange"],
        ),
        series({ title: "Overhead by rank", description: "Share of the training thread's time since the first step.", unit: "percentunit", min: 0 }, [
          { expr: of("vigil_overhead_ratio"), legend: "{{run}} rank {{rank}}" },
        ]),
        series({ title: "Time in vigil per step", description: "Mean of the steps in Grafana's window.", unit: "s", min: 0 }, [
          { expr: `${rate("vigil_overhead_seconds_total")} / ${rate("vigil_steps_total")}`, legend: "{{run}} rank {{rank}}" },
        ]),
        series(
          {
            title: "Records lost and torn",
            description: "By ring: overwritten before they were read, and reads that had to be made again.",
            unit: "short",
            min: 0,
          },
          [
            { expr: `sum by (ring) (${increase("vigil_ring_overwritten_total")})`, legend: "overwritten: {{ring}}" },
            { expr: `sum by (ring) (${increase("vigil_ring_torn_total")})`, legend: "torn: {{ring}}" },
          ],
          { bars: true },
        ),
        series({ title: "Per-tensor series", description: "Of each run and rank in its exposition.", unit: "short", min: 0 }, [
          { expr: of("vigil_series"), legend: "{{run}} rank {{rank}}" },
        ]),
        series({ title: "Time of a scrape", description: "As Prometheus measures it.", unit: "s", min: 0 }, [
          { expr: of("scrape_duration_seconds", kProcess), legend: "{{job}} {{instance}}" },
        ]),
        series({ title: "Samples of a scrape", description: "Series that a target has.", unit: "short", min: 0 }, [
          { expr: of("scrape_samples_scraped", kProcess), legend: "{{job}} {{instance}}" },
        ]),
        columns(
          {
            title: "Versions",
            description: "Which vigil runs where: in trainers that are scraped themselves, and as vigild.",
            unit: "none",
            height: 6,
          },
          [{ expr: `max by (job, instance, version, compiler) (${of("vigil_build_info", kProcess)} or ${of("vigil_build_info", kDaemon)})` }],
          [
            { field: "job", title: "Job" },
            { field: "instance", title: "Instance" },
            { field: "version", title: "Version" },
            { field: "compiler", title: "Compiler" },
          ],
        ),
      ],
    },
    {
      title: "vigild",
      panels: [
        series(
          { title: "Runs by state", description: "Ring files that are followed, or told of as ended.", unit: "short", min: 0 },
          [{ expr: `sum by (state) (${of("vigil_daemon_runs", kDaemon)})`, legend: "{{state}}" }],
          { stacked: true },
        ),
        series(
          {
            title: "Time of a look at all files",
            description: "Mean of the looks in Grafana's window; --ring.interval is how often there is one.",
            unit: "s",
            min: 0,
          },
          [{ expr: `${rate("vigil_daemon_turn_seconds_total", kDaemon)} / ${rate("vigil_daemon_turns_total", kDaemon)}`, legend: "{{instance}}" }],
        ),
        series(
          {
            title: "Files that are not followed",
            description: "Cannot be read, are too many, or are hidden behind another run of the same name. The log names them.",
            unit: "short",
            min: 0,
          },
          [
            { expr: of("vigil_ring_directories_unreadable", kDaemon), legend: "{{instance}} directories unreadable" },
            { expr: of("vigil_ring_left_out", kDaemon), legend: "{{instance}} too many" },
            { expr: of("vigil_runs_hidden", kDaemon), legend: "{{instance}} hidden" },
            { expr: `sum by (instance) (${increase("vigil_ring_refused_total", kDaemon)})`, legend: "{{instance}} refused" },
          ],
        ),
        series(
          { title: "Requests", description: "By status.", unit: "reqps", min: 0 },
          [{ expr: `sum by (code) (${rate("vigil_http_requests_total", kDaemon)})`, legend: "{{code}}" }],
          { stacked: true },
        ),
        series({ title: "Steps and frames kept", description: "In the history.", unit: "short", min: 0, noValue: "no history" }, [
          { expr: rate("vigil_history_steps_total", kDaemon), legend: "{{instance}} steps/s" },
          { expr: rate("vigil_history_frames_total", kDaemon), legend: "{{instance}} frames/s" },
        ]),
        series(
          {
            title: "Size of the history",
            description: "The database and its write-ahead log; --storage.retention.size bounds the former.",
            unit: "bytes",
            min: 0,
            noValue: "no history",
          },
          [{ expr: of("vigil_history_bytes", kDaemon), legend: "{{instance}}" }],
        ),
        series(
          {
            title: "Not in the history",
            description: "Lost before they could be stored, left out, and transactions that failed and are made again.",
            unit: "short",
            min: 0,
            noValue: "no history",
          },
          [
            { expr: `sum by (ring) (${increase("vigil_history_lost_total", kDaemon)})`, legend: "lost: {{ring}}" },
            { expr: `sum by (what) (${increase("vigil_history_left_out_total", kDaemon)})`, legend: "left out: {{what}}" },
            { expr: `sum(${increase("vigil_history_failures_total", kDaemon)})`, legend: "failed transactions" },
          ],
          { bars: true },
        ),
        series(
          { title: "Remote write", description: "Samples by what became of them, and those that wait.", unit: "short", min: 0, noValue: "off" },
          [
            { expr: `sum by (outcome) (${rate("vigil_remote_write_samples_total", kDaemon)})`, legend: kOutcome },
            { expr: of("vigil_remote_write_pending", kDaemon), legend: "waiting" },
          ],
        ),
        series({ title: "CPU of vigild", description: "Of one core.", unit: "percentunit", min: 0 }, [
          {
            expr: `${rate("process_cpu_seconds_total", kDaemon)} and on (job, instance) ${of("vigil_daemon_turns_total", kDaemon)}`,
            legend: "{{instance}}",
          },
        ]),
        series({ title: "Memory of vigild", description: "Resident.", unit: "bytes", min: 0 }, [
          {
            expr: `${of("process_resident_memory_bytes", kDaemon)} and on (job, instance) ${of("vigil_daemon_turns_total", kDaemon)}`,
            legend: "{{instance}}",
          },
        ]),
      ],
    },
  ],
});
