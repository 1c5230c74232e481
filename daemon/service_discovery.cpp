#include "vigil/daemon/service_discovery.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "vigil/exporters/labels.h"

namespace vigil {

bool is_host_and_port(std::string_view host) noexcept {
  constexpr std::size_t kMaxBytes = 255;
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == ':' ||
           c == '[' || c == ']';
  };
  return !host.empty() && host.size() <= kMaxBytes && std::all_of(host.begin(), host.end(), is_plain);
}

std::string render_targets(const HostView& view, std::string_view address, std::string_view path, bool is_tls) {
  nlohmann::json groups = nlohmann::json::array();
  for (const RunView& run : view.runs) {
    if (run.is_superseded) continue;
    const RunIdentity& who = run.identity();
    const std::string name = valid_utf8(who.run), rank = std::to_string(who.rank);
    groups.push_back({{"targets", {std::string(address)}},
                      {"labels",
                       {{"instance", std::string(address) + "/" + name + "/" + rank},
                        {"__scheme__", is_tls ? "https" : "http"},
                        {"__metrics_path__", std::string(path)},
                        {"__param_run", name},
                        {"__param_rank", rank},
                        {"__meta_vigil_run", name},
                        {"__meta_vigil_rank", rank},
                        {"__meta_vigil_model", valid_utf8(who.model)},
                        {"__meta_vigil_host", valid_utf8(who.host)},
                        {"__meta_vigil_state", std::string(kRunStateNames[static_cast<std::size_t>(run.snapshot->state)])}}}});
  }
  return groups.dump();
}

}  // namespace vigil
