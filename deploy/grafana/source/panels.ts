// Panels as vigil's dashboards have them: described, with a unit, and with NaN shown in red. Types of the builders are Grafana's schema.
import * as bargauge from "@grafana/grafana-foundation-sdk/bargauge";
import * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as heatmap from "@grafana/grafana-foundation-sdk/heatmap";
import * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";
import * as stat from "@grafana/grafana-foundation-sdk/stat";
import * as statetimeline from "@grafana/grafana-foundation-sdk/statetimeline";
import * as table from "@grafana/grafana-foundation-sdk/table";
import * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";

export const kDatasource: dashboard.DataSourceRef = { type: "prometheus", uid: "${datasource}" };

export interface Query {
  expr: string;
  /** `{{label}}` is filled in by Grafana. */
  legend?: string;
}

/** What every panel has; the width is of 24 columns, the height in Grafana's rows of 30 pixels. */
export interface Frame {
  title: string;
  description: string;
  unit: string;
  width?: number;
  height?: number;
  noValue?: string;
  decimals?: number;
  min?: number;
  max?: number;
}

/** Lower ends of the ranges of a colour; the first is that of everything below. */
export type Steps = [null, string, ...(number | string)[]];

interface AnyPanel {
  title(title: string): this;
  description(description: string): this;
  datasource(datasource: dashboard.DataSourceRef): this;
  unit(unit: string): this;
  span(width: number): this;
  height(height: number): this;
  noValue(text: string): this;
  decimals(decimals: number): this;
  min(min: number): this;
  max(max: number): this;
  mappings(mappings: dashboard.ValueMapping[]): this;
  withTarget(target: Builder<prometheus.dataquery>): this;
}

export const kNanIsRed: dashboard.ValueMapping = {
  type: dashboard.MappingType.SpecialValue,
  options: { match: dashboard.SpecialValueMatch.NotANumber, result: { text: "NaN", color: "red", index: 0 } },
};

export function thresholds(steps: Steps): dashboard.ThresholdsConfigBuilder {
  const made: dashboard.Threshold[] = [];
  for (let i = 0; i < steps.length; i += 2) made.push({ value: steps[i] as number | null, color: steps[i + 1] as string });
  return new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps(made);
}

/** Numbers and the texts and colours that stand for them. */
export function texts(rows: readonly (readonly [number, string, string])[]): dashboard.ValueMapping {
  const options: Record<string, dashboard.ValueMappingResult> = {};
  rows.forEach(([value, text, color], index) => (options[String(value)] = { text, color, index }));
  return { type: dashboard.MappingType.ValueToText, options };
}

export const kStateTexts = texts([
  [0, "starting", "blue"],
  [1, "running", "green"],
  [2, "finished", "text"],
  [3, "hung", "orange"],
  [4, "failed", "red"],
  [5, "crashed", "dark-red"],
  [6, "unreadable", "purple"],
]);

const kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

function target(query: Query, index: number): prometheus.DataqueryBuilder {
  const made = new prometheus.DataqueryBuilder()
    .refId(kLetters[index] ?? "Z")
    .datasource(kDatasource)
    .expr(query.expr);
  return query.legend === undefined ? made : made.legendFormat(query.legend);
}

function framed<T extends AnyPanel>(panel: T, frame: Frame, width: number, height: number, more: dashboard.ValueMapping[] = []): T {
  panel.title(frame.title).description(frame.description).datasource(kDatasource).unit(frame.unit);
  panel
    .span(frame.width ?? width)
    .height(frame.height ?? height)
    .mappings([kNanIsRed, ...more]);
  panel.noValue(frame.noValue ?? "no data");
  if (frame.decimals !== undefined) panel.decimals(frame.decimals);
  if (frame.min !== undefined) panel.min(frame.min);
  if (frame.max !== undefined) panel.max(frame.max);
  return panel;
}

// lastNotNull would pass over a NaN, which is to be seen.
const latest = (): common.ReduceDataOptionsBuilder => new common.ReduceDataOptionsBuilder().calcs(["last"]).values(false);

/** The latest number within the range that is looked at, so that of a run that has ended as well. */
export function number(frame: Frame, query: Query, steps: Steps = [null, "text"], more: dashboard.ValueMapping[] = []): stat.PanelBuilder {
  return (
    framed(new stat.PanelBuilder(), frame, 4, 4, more)
      .withTarget(target(query, 0).range())
      .thresholds(thresholds(steps))
      .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Thresholds))
      .reduceOptions(latest())
      .graphMode(common.BigValueGraphMode.None)
      .colorMode(steps.length > 2 || more.length > 0 ? common.BigValueColorMode.Background : common.BigValueColorMode.Value)
      .textMode(common.BigValueTextMode.ValueAndName)
  );
}

export interface SeriesLook {
  /** A logarithmic scale, where values span orders of magnitude. */
  logarithmic?: boolean;
  stacked?: boolean;
  /** Bars, for what is counted between two points. */
  bars?: boolean;
  steps?: Steps;
}

export function series(frame: Frame, queries: Query[], look: SeriesLook = {}): timeseries.PanelBuilder {
  const panel = framed(new timeseries.PanelBuilder(), frame, 12, 8);
  queries.forEach((query, index) => panel.withTarget(target(query, index).range()));
  panel
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.Table)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(["last", "min", "max"]),
    )
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending))
    .drawStyle(look.bars === true ? common.GraphDrawStyle.Bars : common.GraphDrawStyle.Line)
    .fillOpacity(look.bars === true || look.stacked === true ? 60 : 0)
    .lineWidth(1)
    .showPoints(common.VisibilityMode.Auto)
    .spanNulls(false)
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.PaletteClassicByName));
  if (look.logarithmic === true) {
    panel.scaleDistribution(new common.ScaleDistributionConfigBuilder().type(common.ScaleDistribution.Log).log(10));
  }
  if (look.stacked === true) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group("A"));
  if (look.steps !== undefined) {
    panel
      .thresholds(thresholds(look.steps))
      .thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed));
  }
  return panel;
}

/** The highest or lowest series of now, as bars. */
export function ranking(frame: Frame, query: Query, steps: Steps = [null, "blue"]): bargauge.PanelBuilder {
  return framed(new bargauge.PanelBuilder(), frame, 12, 9)
    .withTarget(target(query, 0).instant())
    .reduceOptions(latest())
    .orientation(common.VizOrientation.Horizontal)
    .displayMode(common.BarGaugeDisplayMode.Basic)
    .valueMode(common.BarGaugeValueMode.Color)
    .thresholds(thresholds(steps))
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Thresholds));
}

function coloured(frame: Frame, query: prometheus.DataqueryBuilder, scheme: string): heatmap.PanelBuilder {
  return framed(new heatmap.PanelBuilder(), frame, 24, 10)
    .withTarget(query.range())
    .calculate(false)
    .color(
      new heatmap.HeatmapColorOptionsBuilder().mode(heatmap.HeatmapColorMode.Scheme).scheme(scheme).scale(heatmap.HeatmapColorScale.Linear).steps(64),
    )
    .cellGap(0)
    .cellValues(new heatmap.CellValuesBuilder().unit(frame.unit))
    .mode(common.TooltipDisplayMode.Single)
    .showLegend();
}

/** A row for each series, a column for each point in time, coloured by value. */
export function rows(frame: Frame, query: Query, scheme = "Turbo"): heatmap.PanelBuilder {
  return (
    coloured(frame, target(query, 0), scheme)
      // Grafana leaves out cells at or below 1e-9 unless told otherwise, and logarithms are.
      .filterValues(new heatmap.FilterValueRangeBuilder().le(-1e9))
      .yAxis(new heatmap.YAxisConfigBuilder().axisPlacement(common.AxisPlacement.Left))
      .rowsFrame(new heatmap.RowsHeatmapOptionsBuilder().layout(common.HeatmapCellLayout.Auto).value(frame.title))
  );
}

/** Of the buckets of a histogram, series with the label `le`. */
export function buckets(frame: Frame, expr: string, unitOfBuckets: string): heatmap.PanelBuilder {
  const query = target({ expr, legend: "{{le}}" }, 0).format(prometheus.PromQueryFormat.Heatmap);
  return coloured(frame, query, "Oranges")
    .rowsFrame(new heatmap.RowsHeatmapOptionsBuilder().layout(common.HeatmapCellLayout.Le))
    .yAxis(new heatmap.YAxisConfigBuilder().unit(unitOfBuckets).axisPlacement(common.AxisPlacement.Left));
}

/** What state each series was in, as bars over time. */
export function timeline(frame: Frame, queries: Query[], mapping: dashboard.ValueMapping): statetimeline.PanelBuilder {
  const panel = framed(new statetimeline.PanelBuilder(), frame, 24, 8, [mapping]);
  queries.forEach((query, index) => panel.withTarget(target(query, index).range()));
  return panel
    .mergeValues(true)
    .showValue(common.VisibilityMode.Auto)
    .rowHeight(0.85)
    .fillOpacity(80)
    .lineWidth(0)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(false)
        .calcs([]),
    )
    .thresholds(thresholds([null, "green", 1, "red"]))
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Thresholds));
}

export interface Column {
  /** The label, or the letter of the query with its values. */
  field: string;
  title: string;
  properties?: dashboard.DynamicConfigValue[];
}

export const unit = (id: string): dashboard.DynamicConfigValue => ({ id: "unit", value: id });
export const mapping = (...rules: dashboard.ValueMapping[]): dashboard.DynamicConfigValue => ({ id: "mappings", value: [kNanIsRed, ...rules] });
export const coloredBy = (steps: Steps): dashboard.DynamicConfigValue[] => [
  { id: "thresholds", value: thresholds(steps).build() },
  { id: "custom.cellOptions", value: { type: common.TableCellDisplayMode.ColorText } },
];
export const kColoredText: dashboard.DynamicConfigValue = { id: "custom.cellOptions", value: { type: common.TableCellDisplayMode.ColorText } };

/**
 * The results of instant queries side by side, a line for each value of their common labels. Columns that are not named are left out.
 */
export function columns(frame: Frame, queries: Query[], shown: Column[], sortedBy?: { title: string; descending: boolean }): table.PanelBuilder {
  const panel = framed(new table.PanelBuilder(), frame, 24, 9);
  queries.forEach((query, index) => panel.withTarget(target(query, index).instant().format(prometheus.PromQueryFormat.Table)));
  // The only query's values are called Value; with several, each has its letter.
  const field = (name: string): string => (name.length > 1 ? name : queries.length > 1 ? `Value #${name}` : "Value");
  if (queries.length > 1) panel.withTransformation({ id: "merge", options: {} });
  const names = shown.map((column) => field(column.field));
  panel.withTransformation({ id: "filterFieldsByName", options: { include: { names } } });
  panel.withTransformation({
    id: "organize",
    options: {
      excludeByName: {},
      indexByName: Object.fromEntries(names.map((name, index) => [name, index])),
      renameByName: Object.fromEntries(shown.map((column) => [field(column.field), column.title])),
    },
  });
  for (const column of shown) {
    if (column.properties !== undefined) panel.overrideByName(column.title, column.properties);
  }
  if (sortedBy !== undefined) {
    panel.sortBy([new common.TableSortByFieldStateBuilder().displayName(sortedBy.title).desc(sortedBy.descending)]);
  }
  return panel.showHeader(true).cellHeight(common.TableCellHeight.Sm).filterable(true);
}
