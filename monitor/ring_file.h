// The ring file of a run, as its writer makes it. docs/ring-format.md says what lies in it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/monitor/process_identity.h"
#include "vigil/monitor/ring_format.h"
#include "vigil/monitor/run_channel.h"

namespace vigil {

/// A channel that other processes can read, and where.
struct SharedChannel {
  std::shared_ptr<RunChannel> channel;  ///< holds the mapping, and the lock that tells that its writer lives
  std::string path;
};

/// What a file says of who made it, and when.
struct RingOrigin {
  std::array<std::uint8_t, 16> ring_id{};  ///< random
  ProcessIdentity process;
  std::uint32_t uid = 0;
  std::int64_t wall_time_ns = 0, monotonic_ns = 0;  ///< both clocks at the same moment
  bool holds_lock = false;                          ///< the lock on byte 0 of the file is this process's
};
/// This process, now. @throws std::runtime_error when the system gives no random numbers
RingOrigin new_ring_origin();

/// A channel in a segment that was made for `layout_of(schema, bounds)`, with all that a reader of the file looks for; the header is
/// written last. The same arguments give the same bytes. @throws RingFileError when no reader would take it
std::shared_ptr<RunChannel> make_channel(const Segment& segment, Schema schema, ChannelBounds bounds, const RingOrigin& origin);

/// Makes `<directory>/<run>.<rank>.<pid>.<process start>.ring`, mode 0640, with all of its memory allocated, and the channel in it. The
/// file appears under that name as a whole. It stays when the channel goes, for vigild to read it to its end; but of the earlier ones of
/// the same run and rank all but the newest kKeptFiles whose writers are gone are removed.
///
/// A process that opens the file again and closes it gives up the lock with which readers tell that it lives (fcntl(2)); vigil does not.
/// @throws std::runtime_error that names the directory and says what to do
SharedChannel make_shared_channel(Schema schema, ChannelBounds bounds, const std::string& directory);

inline constexpr std::size_t kKeptFiles = 2;

/// Of a run that did not begin.
void remove_ring_file(const std::string& path) noexcept;

/// Where ring files go: `configured` if it is not empty; else the first of these that can be written to: /run/vigil/rings, then
/// $XDG_RUNTIME_DIR/vigil, which is made, then /dev/shm/vigil-<uid>, which is made (mode 0700).
/// @throws std::runtime_error when there is none
std::string ring_directory(const std::string& configured);

/// Every directory of that list that is there, in that order: where a reader looks.
std::vector<std::string> usual_ring_directories();

/// Whether a reader takes the file `name` of a directory for a ring file: "<something>.ring" that is not hidden.
bool is_ring_file_name(std::string_view name) noexcept;

/// Gives the names of the ring files of a directory, in no order, as long as `take` answers true. Returns 0, or the error number for which
/// it cannot be read. Of /dev/shm/vigil-<uid>, which anybody may have made, it is EPERM unless that is this user's or root's, and ELOOP or
/// ENOTDIR if it is a link. Throws what `take` throws.
int list_ring_files(const std::string& directory, const std::function<bool(std::string_view name)>& take);

/// "mnist" as the part of a file's name: bytes other than letters, digits, '-' and '_' become '_', at most 64 of them.
std::string file_name_part(const std::string& run);

}  // namespace vigil
