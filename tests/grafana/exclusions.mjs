// What the linter finds and is right as it is. An exclusion that finds nothing is a failure, so none outlives its reason.

const kTotals = "the total since the run began is asked for: of a counter that was above 0 at its first scrape there is no increase";
const kDaemons = "vigild's job is another one than that of the runs, and links carry $job over; $vigild chooses the daemon";

/** @type {{dashboard: string, check: string, panel: RegExp, problem?: RegExp, reason: string}[]} */
export const exclusions = [
  { dashboard: "vigil-overview", check: "target-counter-agg", panel: /^(Runs|Runs with non-finite steps)$/, reason: kTotals },
  { dashboard: "vigil-run", check: "target-counter-agg", panel: /^(Step|Non-finite steps)$/, reason: kTotals },
  { dashboard: "vigil-numerics", check: "target-counter-agg", panel: /^(Non-finite steps|Skipped steps|Rollbacks)$/, reason: kTotals },
  {
    dashboard: "vigil-ranks",
    check: "target-counter-agg",
    panel: /^(Each rank|Non-finite ranks|Steps between first and last|Steps against the median rank)$/,
    reason: kTotals,
  },
  {
    dashboard: "vigil-itself",
    check: "target-counter-agg",
    panel: /^(Records lost|Failures of hooks|Failures of exporters|Series left out|Alerts dropped)$/,
    reason: kTotals,
  },
  {
    dashboard: "vigil-itself",
    check: "target-counter-agg",
    panel: /^(CPU|Memory) of vigild$/,
    problem: /vigil_daemon_turns_total/,
    reason: "the counter tells which processes are daemons; its value does not matter",
  },
  {
    dashboard: "vigil-ranks",
    check: "target-instance",
    panel: /^(Each rank|Slowest rank|Step time of ranks|Step time)$/,
    problem: /median1m/,
    reason: "the median is that of a run: it has no instance",
  },
  ...["target-job", "target-instance"].map((check) => ({
    dashboard: "vigil-itself",
    check,
    panel:
      /^(Versions|Runs by state|Time of a look at all files|Files that are not followed|Requests|Steps and frames kept|Size of the history|Not in the history|Remote write|(CPU|Memory) of vigild)$/,
    reason: kDaemons,
  })),
];
