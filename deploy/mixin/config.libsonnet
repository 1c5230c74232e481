// What may be set; `(import 'mixin.libsonnet') + {_config+:: {…}}` does so.
{
  _config+:: {
    // Put before runbook_url, a path of the repository, and dashboard_url, a path of Grafana:
    // 'https://git.example.com/vigil/blob/main/', 'https://grafana.example.com'.
    runbookPrefix: '',
    dashboardPrefix: '',
    // The scrape job of the trainers, whose targets VigilTargetDown watches.
    job: 'vigil',
    // The rules of the catalogue; false where vigil itself sends these alerts (exporters.alertmanager).
    catalogue: true,
    // Names of alerts that are left out.
    without: [],
    // Other severities, by the name of the alert: {VigilSeriesDropped: 'warning'}.
    severities: {},
    // Labels for every alert: {team: 'training'}.
    labels: {},
  },
}
