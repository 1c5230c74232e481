// Alerts, recorded series and dashboards of vigil in the form of a monitoring mixin. The rules are those of deploy/prometheus, which stay the
// one place where they are written (generate.mjs makes rules/ of them); the dashboards those of deploy/grafana.
local files = {
  alerts: import 'rules/alerts.json',
  catalogue: import 'rules/catalogue.json',
  dashboards: import 'rules/dashboards.json',
};

(import 'config.libsonnet') + {
  local config = $._config,

  local changed(rule) =
    if !std.objectHas(rule, 'alert') then rule else
      local severity = if std.objectHas(config.severities, rule.alert) then { severity: config.severities[rule.alert] } else {};
      rule {
        expr: std.strReplace(rule.expr, 'job="vigil"', 'job="%s"' % config.job),
        labels+: config.labels + severity,
        annotations+: {
          runbook_url: config.runbookPrefix + rule.annotations.runbook_url,
          dashboard_url: config.dashboardPrefix + rule.annotations.dashboard_url,
        },
      },
  local isWanted(rule) = !std.objectHas(rule, 'alert') || !std.member(config.without, rule.alert),
  // Groups stay whole: what alerts compare with is recorded in the same evaluation.
  local groups(file) = [group { rules: [changed(rule) for rule in group.rules if isWanted(rule)] } for group in file.groups],

  prometheusAlerts+:: { groups: groups(files.alerts) + (if config.catalogue then groups(files.catalogue) else []) },

  prometheusRules+:: { groups: groups(files.dashboards) },

  grafanaDashboards+:: {
    'vigil-overview.json': import '../grafana/dashboards/vigil-overview.json',
    'vigil-run.json': import '../grafana/dashboards/vigil-run.json',
    'vigil-layers.json': import '../grafana/dashboards/vigil-layers.json',
    'vigil-numerics.json': import '../grafana/dashboards/vigil-numerics.json',
    'vigil-ranks.json': import '../grafana/dashboards/vigil-ranks.json',
    'vigil-itself.json': import '../grafana/dashboards/vigil-itself.json',
  },
}
