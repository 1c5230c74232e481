#include "vigil/monitor/ring_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "vigil/monitor/clock.h"
#include "vigil/monitor/process_identity.h"
#include "vigil/monitor/ring_file_reader.h"
#include "vigil/monitor/schema_sections.h"

namespace vigil {
namespace {

constexpr const char* kSystemDirectory = "/run/vigil/rings";
constexpr std::string_view kSuffix = ".ring", kNewSuffix = ".tmp";

std::string user_directory() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  return runtime != nullptr && *runtime == '/' ? std::string(runtime) + "/vigil" : std::string();
}
std::string shm_directory() { return "/dev/shm/vigil-" + std::to_string(geteuid()); }

bool is_own_directory(const std::string& path) {
  struct stat status {};
  return lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

struct flock write_lock() noexcept {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  return lock;
}

// A file that is being made, under a name that nobody else makes one of; removed unless it gets its name.
class NewFile {
 public:
  /// `<path>.tmp`, or `<path>-2.tmp` and so on where there is such a file, or what would become of it: a process may watch a run twice, and
  /// one in a container may have the same number and the same start.
  explicit NewFile(const std::string& path) {
    try_name(path);
    for (int number = 2; file_ < 0 && number < kMaxNames; ++number) try_name(path + "-" + std::to_string(number));
    if (file_ < 0) throw_cannot("make a file there", EEXIST);
    // On a file system without locks readers go by pid and start time.
    struct flock lock = write_lock();
    holds_lock_ = fcntl(file_, F_SETLK, &lock) == 0;
  }
  ~NewFile() {
    if (!path_.empty()) unlink(path_.c_str());
    if (file_ >= 0) close(file_);
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  int file() const noexcept { return file_; }
  bool holds_lock() const noexcept { return holds_lock_; }
  void allocate(std::size_t bytes) const {
    static_cast<void>(fchmod(file_, kMode));  // whatever the umask: vigild may be of the directory's group
    int error = EINTR;
    for (int i = 0; i < kMaxInterrupts && error == EINTR; ++i) error = posix_fallocate(file_, 0, static_cast<off_t>(bytes));
    if (error == ENOSPC || error == EFBIG || error == EDQUOT)
      throw std::runtime_error(describe("there is no room for " + std::to_string((bytes >> 20) + 1) +
                                        " MiB; lower ring.step_records or ring.frame_bytes, or choose another ring.directory"));
    if (error != 0) throw_cannot("allocate a file there", error);
  }
  /// The file is closed by whoever takes it.
  int take() noexcept { return std::exchange(file_, -1); }
  [[noreturn]] void throw_cannot(const std::string& what, int error) const {
    throw std::runtime_error(describe("cannot " + what + " (" + std::generic_category().message(error) +
                                      "); set ring.directory to a directory that this program may write to, best on a tmpfs"));
  }
  /// Returns its path.
  std::string give_name() {
    std::string path = name_ + std::string(kSuffix);
    if (rename(path_.c_str(), path.c_str()) != 0) throw_cannot("rename a file there", errno);
    path_.clear();
    return path;
  }

 private:
  static constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  static constexpr mode_t kMode = 0640;
  static constexpr int kMaxNames = 10000, kMaxInterrupts = 100;  // the latter by a profiler's timer, say

  // Leaves no file open where somebody else has the name.
  void try_name(const std::string& name) {
    name_ = name;
    path_ = name + std::string(kNewSuffix);
    file_ = open(path_.c_str(), kFlags, kMode);
    if (file_ < 0 && errno != EEXIST) throw_cannot("make a file there", errno);
    if (file_ < 0 || access((name_ + std::string(kSuffix)).c_str(), F_OK) != 0) return;
    unlink(path_.c_str());
    close(std::exchange(file_, -1));
  }
  std::string describe(const std::string& what) const { return "ring.shared: " + path_.substr(0, path_.rfind('/')) + ": " + what; }

  std::string name_, path_;
  int file_ = -1;
  bool holds_lock_ = false;
};

// Holds the lock on byte 0 as long as the process lives and the file is open here.
struct Mapping {
  int file;
  void* data;
  std::size_t bytes;
  ~Mapping() {
    munmap(data, bytes);
    close(file);
  }
  Mapping(int opened, void* mapped, std::size_t size) noexcept : file(opened), data(mapped), bytes(size) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
};

// What somebody left that died while making it.
bool is_left_over(const std::string& path) noexcept {
  constexpr std::time_t kLongEnoughSeconds = 3600;
  const int file = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return false;
  struct stat status {};
  const bool is_ours = fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() && !is_write_locked(file);
  close(file);
  return is_ours && status.st_mtim.tv_sec + kLongEnoughSeconds < std::time(nullptr);
}

bool ends_with(std::string_view text, std::string_view end) noexcept {
  return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
}

// Files of gone writers whose names begin with `prefix`: all but the newest few go. What cannot be read stays; so do those that begin with
// `own`, which are this process's: closing one would give up its lock.
void remove_old_files(const std::string& directory, const std::string& prefix, const std::string& own, const ProcessIdentity& self) {
  std::vector<std::pair<std::int64_t, std::string>> gone;  // by age
  DIR* const entries = opendir(directory.c_str());
  if (entries == nullptr) return;
  while (const dirent* const entry = readdir(entries)) {
    const std::string name = entry->d_name;
    if (name.compare(0, prefix.size(), prefix) != 0 || name.compare(0, own.size(), own) == 0) continue;
    const std::string path = directory + "/" + name;
    if (ends_with(name, kNewSuffix) && is_left_over(path)) unlink(path.c_str());
    if (!is_ring_file_name(name)) continue;
    try {
      const RingFile file(path);
      if (file.header().uid == geteuid() && file.writer(self) == WriterState::gone) gone.emplace_back(file.header().wall_time_ns, path);
    } catch (const RingFileError&) {
      // Another version's, or not a ring file at all.
    }
  }
  closedir(entries);
  if (gone.size() < kKeptFiles) return;
  std::sort(gone.begin(), gone.end());
  gone.resize(gone.size() - kKeptFiles);
  for (const auto& [age, path] : gone) unlink(path.c_str());
}

RingHeader header_of(const RingLayout& layout, const RingOrigin& origin, bool has_model_fingerprint) {
  RingHeader header;
  if (has_model_fingerprint) header.compatible_flags |= RingHeader::has_model_fingerprint;
  if (origin.holds_lock) header.compatible_flags |= RingHeader::writer_holds_lock;
  header.total_size = layout.total_bytes;
  header.ring_id = origin.ring_id;
  header.boot_id = origin.process.boot_id;
  header.pid = origin.process.pid;
  header.pid_namespace = origin.process.pid_namespace;
  header.process_start = origin.process.process_start;
  header.uid = origin.uid;
  header.wall_time_ns = origin.wall_time_ns;
  header.monotonic_ns = origin.monotonic_ns;
  header.sections = layout.sections;
  header.crc = crc32c(&header, offsetof(RingHeader, crc));
  return header;
}

// What no reader would take is not worth writing.
void check_schema(const std::byte* segment, const RingLayout& layout) {
  check_sections(layout.sections, layout.total_bytes);
  const auto section = [&](SectionKind kind) {
    const Section& of = layout.section(kind);
    return std::vector<std::byte>(segment + of.offset, segment + of.offset + of.size);
  };
  static_cast<void>(read_schema({section(SectionKind::identity), section(SectionKind::strings), section(SectionKind::rows),
                                 section(SectionKind::parameters), section(SectionKind::groups)}));
}

}  // namespace

void remove_ring_file(const std::string& path) noexcept { unlink(path.c_str()); }

std::string file_name_part(const std::string& run) {
  constexpr std::size_t kMaxBytes = 64;
  std::string part = run.substr(0, kMaxBytes);
  for (char& c : part) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!is_plain) c = '_';
  }
  return part;
}

std::vector<std::string> usual_ring_directories() {
  std::vector<std::string> directories{kSystemDirectory};
  if (const std::string user = user_directory(); !user.empty()) directories.push_back(user);
  directories.push_back(shm_directory());
  return directories;
}

bool is_ring_file_name(std::string_view name) noexcept { return ends_with(name, kSuffix) && name.front() != '.'; }

int list_ring_files(const std::string& directory, const std::function<bool(std::string_view name)>& take) {
  const bool is_anybodys = directory == shm_directory();
  const int file = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | (is_anybodys ? O_NOFOLLOW : 0));
  if (file < 0) return errno;
  struct stat status {};
  const bool is_trusted = !is_anybodys || (fstat(file, &status) == 0 && (status.st_uid == geteuid() || status.st_uid == 0));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(is_trusted ? fdopendir(file) : nullptr, &closedir);
  if (entries == nullptr) {
    const int error = is_trusted ? errno : EPERM;
    close(file);
    return error;
  }
  while (const dirent* const entry = readdir(entries.get())) {
    if (is_ring_file_name(entry->d_name) && !take(entry->d_name)) break;
  }
  return 0;
}

std::string ring_directory(const std::string& configured) {
  if (!configured.empty()) return configured;
  if (access(kSystemDirectory, W_OK | X_OK) == 0) return kSystemDirectory;
  for (const std::string& directory : {user_directory(), shm_directory()}) {
    if (directory.empty()) continue;
    if (mkdir(directory.c_str(), 0700) == 0) return directory;
    // In /dev/shm anybody may have made it.
    if (errno == EEXIST && is_own_directory(directory) && access(directory.c_str(), W_OK | X_OK) == 0) return directory;
  }
  throw std::runtime_error("ring.shared: neither " + std::string(kSystemDirectory) + " nor $XDG_RUNTIME_DIR/vigil nor " + shm_directory() +
                           " can be written to; set ring.directory to a directory that can, best on a tmpfs");
}

RingOrigin new_ring_origin() {
  RingOrigin origin;
  if (getrandom(origin.ring_id.data(), origin.ring_id.size(), 0) != static_cast<ssize_t>(origin.ring_id.size()))
    throw std::runtime_error("ring.shared: the system gives no random numbers");
  origin.process = this_process();
  origin.uid = geteuid();
  origin.wall_time_ns = wall_time_ns();
  origin.monotonic_ns = monotonic_time_ns();
  return origin;
}

std::shared_ptr<RunChannel> make_channel(const Segment& segment, Schema schema, ChannelBounds bounds, const RingOrigin& origin) {
  const RingLayout layout = layout_of(schema, bounds);
  const auto fingerprint = fingerprint_bytes(schema.identity.model_fingerprint);
  const RingHeader header = header_of(layout, origin, fingerprint.has_value());
  write_schema(segment.data, layout, schema);
  check_schema(segment.data, layout);
  auto channel = std::make_shared<RunChannel>(std::move(schema), bounds, segment);
  channel->beat(origin.monotonic_ns);
  if (fingerprint) {
    RingHeaderAddition addition;
    addition.model_fingerprint = *fingerprint;
    addition.crc = crc32c(&addition, offsetof(RingHeaderAddition, crc));
    std::memcpy(segment.data + RingHeaderAddition::kOffset, &addition, sizeof addition);
  }
  std::memcpy(segment.data, &header, sizeof header);
  return channel;
}

SharedChannel make_shared_channel(Schema schema, ChannelBounds bounds, const std::string& directory) {
  // The name of a C++ type can be any length; of those that are too long the beginning tells as much.
  if (schema.identity.model.size() > kMaxTextBytes) schema.identity.model.resize(kMaxTextBytes);
  const RingLayout layout = layout_of(schema, bounds);
  RingOrigin origin = new_ring_origin();
  const std::string prefix = file_name_part(schema.identity.run) + "." + std::to_string(schema.identity.rank) + ".",
                    own = prefix + std::to_string(origin.process.pid) + ".";
  remove_old_files(directory, prefix, own, origin.process);

  NewFile file(directory + "/" + own + std::to_string(origin.process.process_start));
  origin.holds_lock = file.holds_lock();
  try {
    check_sections(layout.sections, layout.total_bytes);  // before any memory is asked for
    file.allocate(layout.total_bytes);
    // Every page is there before the training begins.
    void* const data = mmap(nullptr, layout.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file.file(), 0);
    if (data == MAP_FAILED) file.throw_cannot("map a file there", errno);
    const Segment segment{static_cast<std::byte*>(data), layout.total_bytes,
                          std::make_shared<Mapping>(file.take(), data, layout.total_bytes)};
    SharedChannel shared{make_channel(segment, std::move(schema), bounds, origin), {}};
    shared.path = file.give_name();
    return shared;
  } catch (const RingFileError& error) {
    throw std::runtime_error("ring.shared: the model does not fit into a ring file: " + std::string(error.what()) +
                             "; leave tensors out (sampling.include, sampling.exclude), or set ring.shared: false");
  }
}

}  // namespace vigil
