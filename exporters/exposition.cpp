#include "vigil/exporters/exposition.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <unordered_map>
#include <utility>

#include "vigil/exporters/activation_series.h"
#include "vigil/exporters/gzip_stream.h"
#include "vigil/exporters/tensor_series.h"
#include "vigil/exporters/text_writer.h"

namespace vigil {
namespace {

// Large enough that a flush costs nothing, small enough to stay in the first-level cache.
constexpr std::size_t kPieceBytes = std::size_t{16} << 10;

// Gathers a text into pieces for `sink`, so that who writes a line asks for room once and not for every part of it.
template <class Sink>
class PieceWriter {
 public:
  explicit PieceWriter(Sink& sink) : sink_(sink), piece_(kPieceBytes, '\0') {}

  // Where at least `bytes` may be written.
  char* room_for(std::size_t bytes) {
    if (piece_.size() - used_ < bytes) {
      flush();
      if (piece_.size() < bytes) piece_.resize(bytes);
    }
    return &piece_[used_];
  }
  // Everything below `end`, which continues what room_for gave, is text.
  void keep_until(const char* end) noexcept { used_ = static_cast<std::size_t>(end - piece_.data()); }

  void flush() {
    sink_(std::string_view(piece_.data(), used_));
    used_ = 0;
  }
  void write(std::string_view text) {
    flush();
    sink_(text);
  }

 private:
  Sink& sink_;
  std::string piece_;
  std::size_t used_ = 0;
};

// One run, with what its latest frame says of its plan.
struct Part {
  const Snapshot& snapshot;
  const SeriesPlan& plan;
  const SeenTensors& tensors;
};

template <class Sink>
void write_tensor_family(PieceWriter<Sink>& writer, const TensorFamily& family, const std::vector<Part>& parts, TextFormat format) {
  bool is_first = true;
  const std::string_view name = family.name;
  for (const Part& part : parts) {
    for_each_series(family, part.tensors, [&](const SeenTensor& tensor, const SeriesLabel* label, double value) {
      if (is_first) {
        std::string metadata;
        append_metadata(metadata, name, family.type, {}, family.help, format);
        writer.write(metadata);
        is_first = false;
      }
      std::string_view text = part.plan.text_of(*tensor.entry);
      const std::size_t label_bytes = label == nullptr ? 0 : label->text.size();
      char* out = writer.room_for(name.size() + text.size() + label_bytes + kNumberBytes + 1);
      out = write_text(out, name);
      if (label == nullptr) {
        out = write_text(out, text);
      } else {
        text.remove_suffix(2);  // the label brings its own "} "
        out = write_text(out, text);
        out = write_text(out, label->text);
      }
      out = write_number(out, value);
      *out++ = '\n';
      writer.keep_until(out);
    });
  }
}

std::vector<Family> run_families(const Part& part) {
  const ActivationSeries activations = count_activation_series(part.snapshot, part.plan);
  return make_run_families(part.snapshot, part.tensors.series() + activations.shown, part.plan.dropped_series() + activations.dropped);
}

template <class Sink>
void write_tensors(Sink& sink, const std::vector<Part>& parts, TextFormat format) {
  PieceWriter<Sink> writer(sink);
  for (const TensorFamily& family : tensor_families()) write_tensor_family(writer, family, parts, format);
  writer.flush();
}

template <class Sink>
void write_exposition(Sink& sink, const Part& part, TextFormat format, const std::vector<Family>& more) {
  std::string text;
  append_families(text, run_families(part), format);
  sink(text);
  write_tensors(sink, {part}, format);
  text.clear();
  append_families(text, make_activation_families(part.snapshot, part.plan), format);
  append_families(text, more, format);
  text += end_of_text(format);
  sink(text);
}

// Gathers the series of several runs by family, in the order in which families are first seen.
class FamilyMerger {
 public:
  void add(std::vector<Family>&& families) {
    for (Family& family : families) {
      if (family.name == metric_row(Metric::build_info).name) continue;  // theirs is this process's, which says so itself
      const auto [place, is_new] = places_.try_emplace(family.name, families_.size());
      if (is_new) {
        families_.push_back(std::move(family));
        continue;
      }
      Family& into = families_[place->second];
      std::move(family.samples.begin(), family.samples.end(), std::back_inserter(into.samples));
      std::move(family.histograms.begin(), family.histograms.end(), std::back_inserter(into.histograms));
    }
  }
  const std::vector<Family>& families() const noexcept { return families_; }

 private:
  std::vector<Family> families_;
  std::unordered_map<std::string_view, std::size_t> places_;
};

template <class Sink>
void write_exposition(Sink& sink, const std::vector<ExposedRun>& runs, const std::vector<std::unique_ptr<SeenTensors>>& tensors,
                      TextFormat format, const std::vector<Family>& more) {
  FamilyMerger of_runs, of_activations;
  std::vector<Part> alive;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Part part{*runs[i].snapshot, *runs[i].plan, *tensors[i]};
    if (runs[i].is_tombstone) {
      of_runs.add(make_tombstone_families(part.snapshot));
      continue;
    }
    alive.push_back(part);
    of_runs.add(run_families(part));
    of_activations.add(make_activation_families(part.snapshot, part.plan));
  }
  std::string text;
  append_families(text, more, format);
  append_families(text, of_runs.families(), format);
  sink(text);
  write_tensors(sink, alive, format);
  text.clear();
  append_families(text, of_activations.families(), format);
  text += end_of_text(format);
  sink(text);
}

// A little more than the per-tensor series take, so that their text is allocated once.
std::size_t estimated_size(const SeenTensors& tensors, const SeriesPlan& plan) {
  constexpr std::size_t kUsualNumber = 20, kUsualLabel = 24, kMetadataBytes = 512;
  std::size_t size = 0;
  for (const TensorFamily& family : tensor_families()) {
    std::size_t series = 0, text_bytes = 0;
    for (const SeenTensor* tensor = tensors.begin(family.kind); tensor != tensors.end(family.kind); ++tensor) {
      const std::size_t here = family.statistic != nullptr ? 1 : series_of(family.metric, *tensor);
      series += here;
      text_bytes += here * plan.text_of(*tensor->entry).size();
    }
    size += series * (family.name.size() + kUsualNumber) + text_bytes + kMetadataBytes;
    if (family.statistic == nullptr) size += series * kUsualLabel;
  }
  return size;
}

}  // namespace

std::string render_exposition(const Snapshot& snapshot, const SeriesPlan& plan, TextFormat format, const std::vector<Family>& more) {
  const SeenTensors tensors(snapshot, plan);
  std::string out;
  out.reserve(estimated_size(tensors, plan) + kPieceBytes);
  const auto sink = [&out](std::string_view text) { out += text; };
  write_exposition(sink, {snapshot, plan, tensors}, format, more);
  return out;
}

std::string render_gzip_exposition(const Snapshot& snapshot, const SeriesPlan& plan, TextFormat format, const std::vector<Family>& more) {
  const SeenTensors tensors(snapshot, plan);
  GzipStream gzip;
  const auto sink = [&gzip](std::string_view text) { gzip.write(text); };
  write_exposition(sink, {snapshot, plan, tensors}, format, more);
  return gzip.finish();
}

std::vector<Family> make_run_families(const ExposedRun& run) {
  if (run.is_tombstone) return make_tombstone_families(*run.snapshot);
  const SeenTensors tensors(*run.snapshot, *run.plan);
  return run_families({*run.snapshot, *run.plan, tensors});
}

namespace {

std::vector<std::unique_ptr<SeenTensors>> tensors_of(const std::vector<ExposedRun>& runs) {
  std::vector<std::unique_ptr<SeenTensors>> tensors;
  tensors.reserve(runs.size());
  for (const ExposedRun& run : runs) tensors.push_back(std::make_unique<SeenTensors>(*run.snapshot, *run.plan));
  return tensors;
}

}  // namespace

std::string render_joint_exposition(const std::vector<ExposedRun>& runs, TextFormat format, const std::vector<Family>& more) {
  const auto tensors = tensors_of(runs);
  std::string out;
  std::size_t size = kPieceBytes;
  for (std::size_t i = 0; i < runs.size(); ++i) size += runs[i].is_tombstone ? kPieceBytes : estimated_size(*tensors[i], *runs[i].plan);
  out.reserve(size);
  const auto sink = [&out](std::string_view text) { out += text; };
  write_exposition(sink, runs, tensors, format, more);
  return out;
}

std::string render_joint_gzip_exposition(const std::vector<ExposedRun>& runs, TextFormat format, const std::vector<Family>& more) {
  const auto tensors = tensors_of(runs);
  GzipStream gzip;
  const auto sink = [&gzip](std::string_view text) { gzip.write(text); };
  write_exposition(sink, runs, tensors, format, more);
  return gzip.finish();
}

}  // namespace vigil
