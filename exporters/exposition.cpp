#include "vigil/exporters/exposition.h"

#include <algorithm>

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

template <class Sink>
void write_tensor_family(PieceWriter<Sink>& writer, const TensorFamily& family, const SeenTensors& tensors, const SeriesPlan& plan,
                         TextFormat format) {
  bool is_first = true;
  const std::string_view name = family.name;
  for_each_series(family, tensors, [&](const SeenTensor& tensor, const SeriesLabel* label, double value) {
    if (is_first) {
      std::string metadata;
      append_metadata(metadata, name, family.type, {}, family.help, format);
      writer.write(metadata);
      is_first = false;
    }
    std::string_view text = plan.text_of(*tensor.entry);
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

template <class Sink>
void write_exposition(Sink& sink, const Snapshot& snapshot, const SeriesPlan& plan, const SeenTensors& tensors, TextFormat format,
                      const std::vector<Family>& more) {
  std::string text;
  const ActivationSeries activations = count_activation_series(snapshot, plan);
  append_families(text, make_run_families(snapshot, tensors.series() + activations.shown, plan.dropped_series() + activations.dropped),
                  format);
  sink(text);
  PieceWriter<Sink> writer(sink);
  for (const TensorFamily& family : tensor_families()) write_tensor_family(writer, family, tensors, plan, format);
  text.clear();
  append_families(text, make_activation_families(snapshot, plan), format);
  append_families(text, more, format);
  text += end_of_text(format);
  writer.write(text);
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
  write_exposition(sink, snapshot, plan, tensors, format, more);
  return out;
}

std::string render_gzip_exposition(const Snapshot& snapshot, const SeriesPlan& plan, TextFormat format, const std::vector<Family>& more) {
  const SeenTensors tensors(snapshot, plan);
  GzipStream gzip;
  const auto sink = [&gzip](std::string_view text) { gzip.write(text); };
  write_exposition(sink, snapshot, plan, tensors, format, more);
  return gzip.finish();
}

}  // namespace vigil
