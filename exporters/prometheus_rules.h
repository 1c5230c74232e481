// The catalogue of rules as a rule file for Prometheus.
#pragma once

#include <string>

#include "vigil/config/config.h"

namespace vigil {

/// A file for `rule_files:`, with the parameters and severities of `rules`; rules that are off are left out.
/// deploy/prometheus/catalogue.yml is what the defaults give. It needs alerts.yml beside it, which has the alerts of some rules. Any
/// thread.
std::string prometheus_rules_yaml(const RulesConfig& rules);

}  // namespace vigil
