// What a run is doing.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace vigil {

enum class RunState : std::uint64_t {
  // What the writer says:
  starting,
  running,
  finished,
  failed,
  // What a reader of its file finds:
  crashed,     ///< the process is gone, and had not said that it ends
  hung,        ///< the process is there, but has not ended a step for too long
  unreadable,  ///< the file makes no sense
};
inline constexpr std::array<std::string_view, 7> kRunStateNames{"starting", "running", "finished",  "failed",
                                                                "crashed",  "hung",    "unreadable"};

/// Whether a run in this state goes on.
constexpr bool is_alive(RunState state) noexcept {
  return state == RunState::starting || state == RunState::running || state == RunState::hung;
}

}  // namespace vigil
