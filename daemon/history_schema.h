// The tables of the history (docs/history.md describes them for those who ask them with sqlite3).
#pragma once

#include <cstdint>
#include <limits>

namespace vigil {

/// The last step that an INTEGER of SQLite holds.
constexpr std::uint64_t kMaxStep = std::numeric_limits<std::int64_t>::max();

/// In the header of the file (`PRAGMA application_id`): "VGLH".
inline constexpr std::int64_t kHistoryApplicationId = 0x56474c48;
/// `PRAGMA user_version` of what this program writes. A newer one is left alone.
inline constexpr std::int64_t kHistoryVersion = 1;

/// Makes the tables in an empty database, in one transaction of its own.
extern const char* const kCreateHistory;

/// Tables whose rows are few or small: they are checked at opening also where the whole would take too long.
inline constexpr const char* kSmallHistoryTables[] = {"runs", "rings", "progress", "tensors", "scalar_names", "layer_names", "step_tail"};

}  // namespace vigil
