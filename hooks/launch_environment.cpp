#include "vigil/hooks/launch_environment.h"

#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <string_view>

namespace vigil {
namespace {

// The first of the variables that holds a non-negative whole number.
int first_number(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names) {
    const char* text = std::getenv(name);
    if (text == nullptr) continue;
    const std::string_view view(text);
    int value = 0;
    const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
    if (error == std::errc{} && end == view.data() + view.size() && value >= 0) return value;
  }
  return otherwise;
}

}  // namespace

LaunchEnvironment read_launch_environment() {
  LaunchEnvironment launch;
  launch.rank = first_number({"RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"}, 0);
  launch.world_size = first_number({"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"}, 1);
  launch.local_rank = first_number({"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"}, 0);
  launch.attempt = first_number({"TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"}, 0);
  return launch;
}

bool is_disabled_by_environment() {
  const char* text = std::getenv("VIGIL_DISABLE");
  return text != nullptr && *text != '\0' && std::string_view(text) != "0";
}

}  // namespace vigil
