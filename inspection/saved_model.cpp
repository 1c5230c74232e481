#include "vigil/inspection/saved_model.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <numeric>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "vigil/inspection/pickled_model.h"
#include "vigil/inspection/stored_tensor.h"
#include "vigil/inspection/zip_archive.h"
#include "vigil/inspection/zip_checks.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

constexpr std::string_view kData = "/data.pkl";
constexpr std::uint64_t kMaxShortRecord = 4096;
// Views of one storage may be more than what it holds.
constexpr std::uint64_t kMaxViews = 16;
constexpr std::uint64_t kAlwaysViewed = std::uint64_t{1} << 26;

struct OtherArchive {
  std::string_view ending;
  std::string_view what;
};

constexpr std::array kOtherArchives{
    OtherArchive{".npy", "is an archive of NumPy arrays"},
    OtherArchive{"[Content_Types].xml", "is a document of an office program"},
    OtherArchive{"META-INF/MANIFEST.MF", "is a Java archive"},
    OtherArchive{"model.weights.h5", "is a model of Keras"},
    OtherArchive{".data/extern_modules", "is an archive of torch.package"},
    OtherArchive{"serialized_exported_program.json", "is a program of torch.export"},
    OtherArchive{"models/model.json", "is a program of torch.export"},
};

bool ends_with(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

// The folder in the archive that all of a model is in.
std::string root_of(const ZipArchive& archive) {
  for (const ZipEntry& entry : archive.entries()) {
    if (ends_with(entry.name, kData) && entry.name.find('/') == entry.name.size() - kData.size())
      return entry.name.substr(0, entry.name.size() - kData.size());
  }
  for (const ZipEntry& entry : archive.entries()) {
    for (const OtherArchive& other : kOtherArchives) {
      if (ends_with(entry.name, other.ending))
        archive.file().fail(std::string(other.what) +
                            "; name a file that torch::save, torch::jit::Module::save or Python's torch.save wrote");
    }
  }
  archive.file().fail("is a ZIP archive without a model: it has no data.pkl; if it packs one, unpack it first");
}

std::string short_record(const ZipArchive& archive, const std::string& name) {
  const ZipEntry* const entry = archive.find(name);
  return entry == nullptr ? "" : archive.read(*entry, kMaxShortRecord);
}

std::int64_t archive_version(const std::string& record) {
  std::int64_t version = 0;
  for (const char digit : record) {
    if (digit < '0' || digit > '9' || version > 1'000'000) break;
    version = 10 * version + (digit - '0');
  }
  return version;
}

void refuse_too_many_views(const ZipArchive& archive, const PickledModel& pickled) {
  const auto add_up_to_2_62 = [](std::uint64_t a, std::uint64_t b) { return std::min(a + b, std::uint64_t{1} << 62); };
  std::uint64_t stored = 0;
  for (const ZipEntry& entry : archive.entries()) stored = add_up_to_2_62(stored, std::min(entry.bytes, std::uint64_t{1} << 62));
  std::uint64_t viewed = 0;
  for (const StoredView& view : pickled.views) viewed = add_up_to_2_62(viewed, bounded_count(view.sizes) * element_size(view.type));
  if (viewed > kAlwaysViewed && viewed / kMaxViews > stored) {
    archive.file().fail("has tensors of " + bytes_text(viewed) + " that are views of " + bytes_text(stored) + "; at most " +
                        std::to_string(kMaxViews) + " times as much is read; it is made to deceive");
  }
}

// Gives tensors whose ranges in a storage overlap a number in common.
void number_shared_memory(PickledModel& pickled) {
  const std::vector<StoredView>& views = pickled.views;
  std::vector<ByteRange> ranges;
  ranges.reserve(views.size());
  for (const StoredView& view : views) ranges.push_back(*range_of(view));
  std::vector<std::size_t> order(views.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (views[a].entry != views[b].entry) return std::less<>()(views[a].entry, views[b].entry);
    return ranges[a].begin < ranges[b].begin;
  });
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < order.size();) {
    std::uint64_t end = ranges[order[i]].end;
    std::size_t next = i + 1;
    while (next < order.size() && views[order[next]].entry == views[order[i]].entry && ranges[order[next]].begin < end) {
      end = std::max(end, ranges[order[next]].end);
      ++next;
    }
    if (next - i > 1) {
      ++number;
      for (std::size_t j = i; j < next; ++j) {
        if (ranges[order[j]].end > ranges[order[j]].begin) pickled.model.tensors[order[j]].memory = number;
      }
    }
    i = next;
  }
}

PickledModel read_model(const ZipArchive& archive) {
  const std::string root = root_of(archive);
  const std::string order = short_record(archive, root + "/byteorder");
  if (order == "big")
    archive.file().fail("was written on a big-endian machine; load it there or in Python and save it on a little-endian one");
  if (!order.empty() && order != "little") archive.file().fail("is of the byte order \"" + order + "\", which is none; it is damaged");
  PickledModel pickled = read_pickled_model(archive, root);
  pickled.model.file_bytes = archive.file().bytes();
  pickled.model.archive_version = archive_version(short_record(archive, root + "/version"));
  refuse_too_many_views(archive, pickled);
  number_shared_memory(pickled);
  return pickled;
}

}  // namespace

SavedModel open_saved_model(const std::filesystem::path& path) {
  const auto archive = std::make_shared<const ZipArchive>(path);
  PickledModel pickled = read_model(*archive);
  // Tied tensors have the same elements, so that a reader can tell and reads them once.
  using View = std::tuple<const ZipEntry*, ElementType, std::int64_t, std::vector<std::int64_t>, std::vector<std::int64_t>>;
  std::map<View, std::shared_ptr<const TensorElements>> known;
  for (std::size_t i = 0; i < pickled.views.size(); ++i) {
    StoredView& view = pickled.views[i];
    std::shared_ptr<const TensorElements>& elements = known[View(view.entry, view.type, view.offset, view.sizes, view.strides)];
    if (elements == nullptr) elements = stored_elements(archive, std::move(view));
    pickled.model.tensors[i].elements = elements;
  }
  return std::move(pickled.model);
}

std::vector<DamagedEntry> check_integrity(const std::filesystem::path& path) {
  const ZipArchive archive(path);
  std::vector<DamagedEntry> damaged = damaged_entries(archive);
  if (damaged.empty()) return damaged;
  std::unordered_map<std::string_view, std::string> tensor_of;
  try {
    const PickledModel pickled = read_model(archive);
    for (std::size_t i = 0; i < pickled.views.size(); ++i) tensor_of.emplace(pickled.views[i].entry->name, pickled.model.tensors[i].name);
  } catch (const InspectionError&) {
    // What is damaged is the description, or it is no model.
  }
  for (DamagedEntry& entry : damaged) {
    const auto found = tensor_of.find(entry.entry);
    if (found != tensor_of.end()) entry.tensor = found->second;
  }
  return damaged;
}

}  // namespace vigil
