// The answer to Prometheus' http_sd: one target for each run of the host.
#pragma once

#include <string>
#include <string_view>

#include "vigil/daemon/host_view.h"

namespace vigil {

/// A list of target groups as JSON, `[]` without runs. `address` is where Prometheus reaches this vigild, "host:port"; `path` is that of
/// the exposition. Each target asks for its run and rank only, so that each has its own `up`, limits and timeouts; its `instance` is
/// "host:port/run/rank". Runs that have ended stay in the list as long as they are told of, so that their end is seen.
std::string render_targets(const HostView& view, std::string_view address, std::string_view path, bool is_tls);

/// Whether `host` is what a Host header may hold: a name or address, with a port or without; up to 255 bytes.
bool is_host_and_port(std::string_view host) noexcept;

}  // namespace vigil
