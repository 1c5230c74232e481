// Types of the page, for editors and `tsc --checkJs`; not served.

type Api = import("./assets/api.js").Api;
type Chart = import("./assets/chart.js").Chart;
type ChartGroup = import("./assets/chart.js").ChartGroup;
type Connection = import("./assets/api.js").Connection;
type EventFeed = import("./assets/runs.js").EventFeed;
type RunList = import("./assets/runs.js").RunList;
type Series = import("./assets/series.js").Series;
type SeriesStore = import("./assets/series.js").SeriesStore;

type Child = Node | string | number | null | undefined | false;
type Severity = "critical" | "warning" | "info";
type Span = { min: number; max: number };

/** A row of /api/v1/runs. */
interface Run {
  run: string;
  rank: number;
  state: string;
  reason?: string;
  step?: number;
  time?: number;
  loss?: number | string;
  gradient_norm?: number | string;
  step_seconds?: number;
  nonfinite_steps?: number;
  alerts?: any[];
  attempts?: any[];
}

interface RunChoice {
  run: string;
  rank: number;
  /** null: the newest */
  attempt: number | null;
}

/** Where the user is; `params` is what the view keeps there, without view and attempt. */
interface Route {
  view: string;
  run: string | null;
  rank: number;
  attempt: number | null;
  params: URLSearchParams;
}

interface RunEvent {
  id: number;
  attempt: number;
  /** nonfinite, alert, state, … */
  kind: string;
  step: number;
  time: number;
  details: any;
}

/** Steps whose loss or gradients were not finite. */
interface Stretch {
  first: number;
  last: number;
  count: number;
}

interface Annotation {
  x: number;
  title: string;
  text: string;
  severity: Severity;
}

interface Trace {
  series: Series;
  label: string;
  /** place among the colours of series; its place in the chart unless told */
  color?: number;
  /** taken from each x, for times that are relative */
  offset?: number;
  isHidden?: boolean;
  /** where the legend writes */
  value?: HTMLElement;
}

interface ChartOptions {
  /** for tests: data-series of the element */
  id: string;
  title: string;
  /** seconds, bytes, ratio, or a word */
  unit?: string;
  /** a sentence behind the title */
  hint?: string;
  traces: Trace[];
  x?: "steps" | "times";
  isLog?: boolean;
  /** a linear scale begins at 0 */
  fromZero?: boolean;
  onScale?: (isLog: boolean) => void;
}

/** The plotting area of a chart, and the way from values to its pixels. */
interface Area {
  ctx: CanvasRenderingContext2D;
  left: number;
  top: number;
  width: number;
  height: number;
  /** pixels of the canvas for one of the stylesheet */
  ratio: number;
  isLog: boolean;
  /** pixel of x = 0, and pixels for 1 of x */
  x0: number;
  perX: number;
  /** likewise of y, or of its logarithm */
  y0: number;
  perY: number;
}

interface LineStyle {
  stroke: string;
  width: number;
  alpha?: number;
  dash?: number[];
  dots?: boolean;
}

/** A chart of the Run view. */
interface Panel {
  id: string;
  title: string;
  unit?: string;
  hint?: string;
  traces: { name: string; label: string }[];
  fromZero?: boolean;
  isWide?: boolean;
  /** only shown once it has data */
  isOptional?: boolean;
  /** not smoothed: it has no noise */
  isExact?: boolean;
}

interface ViewEntry {
  id: string;
  title: string;
  /** of one run, or of all */
  scope: "run" | "host";
  load: () => Promise<any>;
}

interface PanelState {
  title: string;
  text?: string;
  hint?: string;
  command?: string;
  action?: { label: string; run: () => void };
  /** empty, error, offline */
  kind?: string;
}

interface PollOptions {
  seconds: number;
  /** ends it */
  signal: AbortSignal;
  isPaused?: () => boolean;
  onError?: (error: Error) => void;
}

/** What a view is handed; README.md explains it. */
interface ViewContext {
  api: Api;
  connection: Connection;
  runs: RunList;
  selection: RunChoice | null;
  signal: AbortSignal;
  /** when it was opened, in ms of performance.now() */
  openedAt: number;
  group: ChartGroup;
  readonly info: any;
  readonly live: boolean;
  readonly run: Run | undefined;
  readonly params: URLSearchParams;
  readonly events: EventFeed | null;
  question(more?: Record<string, any>): Record<string, any>;
  poll(task: (signal: AbortSignal) => Promise<void>, options: { seconds: number; onError?: (error: Error) => void }): { now(): void };
  setParams(changes: Record<string, string | null>): void;
  on(target: EventTarget, type: string, listener: (event: Event) => void): void;
  go(target: { view?: string; run?: string; rank?: number; attempt?: number | null; params?: Record<string, string> }): void;
  announce(text: string): void;
  loadStyle(name: string): Promise<void>;
}

/** A run that Compare draws. */
interface Member extends RunChoice {
  key: string;
  color: number;
  store: SeriesStore;
  problem: string;
}
