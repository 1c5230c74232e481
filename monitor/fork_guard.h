// Tells a forked child that it is one. Data loaders fork: the child has the monitor's memory, but neither its threads nor a right to its
// port and files.
#pragma once

#include <cstdint>

namespace vigil {

/// How many forks lie between this process and the first that asked. A value kept at set-up that differs later means: forked since.
/// Costs a load; installs its pthread_atfork handler at the first call.
std::uint64_t fork_generation() noexcept;

}  // namespace vigil
