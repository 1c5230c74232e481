// What every query selects by: the variables of the dashboard it stands in.

/** Of the process and of the run: the matchers of every series that belongs to a rank. */
export const kRank = 'job=~"$job",instance=~"$instance",run=~"$run",rank=~"$rank"';
/** Of the runs of a dashboard that shows all of their ranks. */
export const kRun = 'job=~"$job",instance=~"$instance",run=~"$run"';
/** Of a process, whatever it trains. */
export const kProcess = 'job=~"$job",instance=~"$instance"';
/** Of vigild, whose job is another one than that of the runs. */
export const kDaemon = 'instance=~"$vigild"';
/** Of the tensors that the variables layer and parameter choose. */
export const kTensor = `${kRank},layer=~"$layer",parameter=~"$parameter"`;
/** Of the layers alone. */
export const kLayer = `${kRank},layer=~"$layer"`;

/** `metric{matchers, more}`. */
export function of(metric: string, matchers: string = kRank, more: string = ""): string {
  return `${metric}{${matchers}${more === "" ? "" : `,${more}`}}`;
}

/** The rate of a counter over Grafana's own window, which holds four scrapes or more. */
export function rate(counter: string, matchers: string = kRank, more: string = ""): string {
  return `rate(${of(counter, matchers, more)}[$__rate_interval])`;
}

/** What a counter has risen by from one point of a chart to the next. */
export function increase(counter: string, matchers: string = kRank, more: string = ""): string {
  return `increase(${of(counter, matchers, more)}[$__rate_interval])`;
}

/** States of a run as numbers, the worst the highest, so that max() over ranks is the state of the whole. */
export const kStates = ["starting", "running", "finished", "hung", "failed", "crashed", "unreadable"] as const;

/** The state of `by`, as a number by kStates. */
export function stateOf(by: string, matchers: string = kRank): string {
  const codes = kStates.map((state, code) => `${code} * ${of("vigil_run_state", matchers, `state="${state}"`)}`);
  return `max by (${by}) (${codes.join(" or ")})`;
}

/** Mean time of a step by `phase`, of the steps within Grafana's window. */
export function meanStepTime(phase: string, matchers: string = kRank): string {
  const part = `phase="${phase}"`;
  return `${rate("vigil_step_duration_seconds_sum", matchers, part)} / ${rate("vigil_step_duration_seconds_count", matchers, part)}`;
}

/** A process' metric for each rank in it: exporters of processes know no runs. */
export function ofProcess(metric: string): string {
  return `0 * ${of("vigil_up")} + on (job, instance) group_left () ${of(metric, kProcess)}`;
}
