#include "vigil/tools/ring_search.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "vigil/config/suggestion.h"
#include "vigil/monitor/ring_file.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {
namespace {

// Names of ring files in a directory, sorted; the error number for which it cannot be read, or 0.
int list_directory(const std::string& directory, std::vector<std::string>& paths, bool& has_more) {
  std::vector<std::string> names;
  const int error = list_ring_files(directory, [&](std::string_view name) {
    has_more = names.size() >= kMaxRingFiles;
    if (!has_more) names.emplace_back(name);
    return !has_more;
  });
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) paths.push_back(directory + (directory.back() == '/' ? "" : "/") + name);
  return error;
}

bool comes_before(const FoundRing& left, const FoundRing& right) {
  if ((left.file == nullptr) != (right.file == nullptr)) return right.file == nullptr;
  if (left.file == nullptr) return left.path < right.path;
  const RunIdentity &a = left.identity(), &b = right.identity();
  // The latest first: these are the other way round.
  return std::tie(a.run, a.rank, b.start_time_ns, b.attempt, left.path) < std::tie(b.run, b.rank, a.start_time_ns, a.attempt, right.path);
}

std::string quoted_names(const std::vector<FoundRing>& rings) {
  std::set<std::string> names;
  for (const FoundRing& ring : rings) {
    if (ring.file != nullptr) names.insert("'" + printable(ring.identity().run) + "'");
  }
  std::string text;
  std::size_t told = 0;
  for (const std::string& name : names) {
    if (told++ == 10) return text + ", …";
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

std::string places(const std::vector<std::string>& directories) {
  std::string text;
  for (const std::string& directory : directories.empty() ? usual_ring_directories() : directories)
    text += (text.empty() ? "" : ", ") + directory;
  return text;
}

// "0, 1, 3" of the runs that the word means.
std::string ranks_of(const std::string& word, const std::vector<FoundRing>& rings) {
  std::set<int> ranks;
  for (const FoundRing& ring : rings) {
    if (ring.file != nullptr && (word.empty() || ring.identity().run == word)) ranks.insert(ring.identity().rank);
  }
  std::string text;
  std::size_t told = 0;
  for (const int rank : ranks) {
    if (told++ == 10) return text + ", …";
    text += (text.empty() ? "" : ", ") + std::to_string(rank);
  }
  return text;
}

[[noreturn]] void throw_nothing_fits(const RunChoice& choice, const std::vector<FoundRing>& rings) {
  const std::string names = quoted_names(rings), ranks = ranks_of(choice.word, rings);
  const std::string called = choice.word.empty() ? "" : " '" + printable(choice.word) + "'";
  if (choice.rank && !ranks.empty()) {
    throw NoSuchRun("there is no rank " + std::to_string(*choice.rank) + (called.empty() ? " of any run" : " of run" + called) +
                    (ranks.find(',') == std::string::npos ? "; there is rank " : "; there are ranks ") + ranks);
  }
  std::string text = called.empty() ? "there is no run" : "no run is called" + called;
  text += names.empty() ? "; no ring file of a run lies in " + places(choice.directories) +
                              ": a training writes one with ring.shared: true, and --ring.directory says where else to look"
                        : "; there are " + names;
  throw NoSuchRun(text);
}

}  // namespace

FoundRing open_ring(const std::string& path) {
  try {
    return {path, std::make_shared<const RingFile>(path), ""};
  } catch (const RingFileError& error) {
    return {path, nullptr, error.what()};
  }
}

std::vector<FoundRing> find_rings(const std::vector<std::string>& directories, std::vector<std::string>& notes) {
  std::vector<std::string> paths;
  for (const std::string& directory : directories.empty() ? usual_ring_directories() : directories) {
    if (directory.empty()) throw SearchError("--ring.directory: expected a directory, got an empty text");
    bool has_more = false;
    const int error = list_directory(directory, paths, has_more);
    if (has_more) notes.push_back(directory + ": more than " + std::to_string(kMaxRingFiles) + " ring files; the others are not looked at");
    if (error == 0 || (directories.empty() && error == ENOENT)) continue;
    const std::string text = directory + ": cannot be read: " + std::generic_category().message(error);
    if (!directories.empty()) throw SearchError(text);
    notes.push_back(text);
  }
  std::vector<FoundRing> rings;
  for (const std::string& path : paths) rings.push_back(open_ring(path));
  std::sort(rings.begin(), rings.end(), comes_before);
  return rings;
}

FoundRing choose_ring(const RunChoice& choice, std::size_t* others) {
  if (others != nullptr) *others = 0;
  if (choice.word.find('/') != std::string::npos || is_ring_file_name(choice.word)) {
    FoundRing ring = open_ring(choice.word);
    if (ring.file == nullptr) throw SearchError(printable(ring.path) + ": " + ring.problem);
    return ring;
  }
  std::vector<std::string> notes;
  const std::vector<FoundRing> rings = find_rings(choice.directories, notes);
  const ProcessIdentity self = this_process();
  const FoundRing* best = nullptr;
  std::tuple<bool, int, std::int64_t, std::int64_t> best_key;
  std::set<std::pair<std::string, int>> runs;
  for (const FoundRing& ring : rings) {
    if (ring.file == nullptr) continue;
    const RunIdentity& identity = ring.identity();
    if (!choice.word.empty() && identity.run != choice.word) continue;
    if (choice.rank && identity.rank != *choice.rank) continue;
    runs.emplace(identity.run, identity.rank);
    // One that lives, then the lowest rank, then the latest.
    const std::tuple key{ring.file->writer(self) != WriterState::gone, -identity.rank, identity.start_time_ns, identity.attempt};
    if (best != nullptr && key <= best_key) continue;
    best = &ring;
    best_key = key;
  }
  if (best == nullptr) throw_nothing_fits(choice, rings);
  if (others != nullptr) *others = runs.size() - 1;
  return *best;
}

FoundRing find_later_attempt(const FoundRing& than, const std::vector<std::string>& directories) {
  const RunIdentity& known = than.identity();
  std::vector<std::string> places = directories.empty() ? usual_ring_directories() : directories;
  // A file that was named may lie elsewhere.
  const auto slash = than.path.rfind('/');
  places.push_back(slash == std::string::npos ? "." : than.path.substr(0, slash + 1));
  const std::string prefix = file_name_part(known.run) + "." + std::to_string(known.rank) + ".";
  FoundRing later;
  for (const std::string& place : places) {
    std::vector<std::string> paths;
    bool has_more = false;
    list_directory(place, paths, has_more);
    for (const std::string& path : paths) {
      if (path.compare(path.rfind('/') + 1, prefix.size(), prefix) != 0) continue;
      FoundRing ring = open_ring(path);
      if (ring.file == nullptr || ring.identity().run != known.run || ring.identity().rank != known.rank) continue;
      if (ring.identity().start_time_ns <= (later.file != nullptr ? later.identity() : known).start_time_ns) continue;
      later = std::move(ring);
    }
  }
  return later;
}

}  // namespace vigil::tools
