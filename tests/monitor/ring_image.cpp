#include "monitor/ring_image.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace vigil::test {
namespace {

constexpr std::int64_t kStartNs = 1'700'000'000'000'000'000;

Moments moments_of(std::uint64_t number) {
  Moments moments;
  const auto n = static_cast<double>(number);
  moments.count = 8 + number;
  moments.nan_count = number % 2;
  moments.zero_count = 1;
  moments.min = -n;
  moments.max = n + 0.5;
  moments.mean = 0.25;
  moments.l1 = 4 * n;
  moments.m2 = 2 * n;
  moments.sum_squares = 3 * n;
  return moments;
}

}  // namespace

Schema small_schema() {
  Schema schema;
  schema.identity.run = "mnist run/1";
  schema.identity.rank = 3;
  schema.identity.world_size = 8;
  schema.identity.model = "Net";
  schema.identity.libtorch = "1.13.1";
  schema.identity.host = "node7";
  schema.identity.pid = 4711;
  schema.identity.attempt = 2;
  schema.identity.start_time_ns = kStartNs;
  schema.is_continued = true;
  schema.rows.resize(2);
  schema.rows[0].name = "fc.weight";
  schema.rows[0].layer = "fc";
  schema.rows[0].shape = "[3, 4]";
  schema.rows[0].element_count = 12;
  schema.rows[0].histogram = 0;
  schema.rows[0].has_update = true;
  schema.rows[0].has_distance = true;
  schema.rows[0].learning_rate = 0;
  schema.rows[0].optimizer_state = {"exp_avg", "exp_avg_sq"};
  schema.rows[1].kind = TensorKind::gradient;
  schema.rows[1].name = "fc.weight";
  schema.rows[1].layer = "fc";
  schema.rows[1].dtype = DType::bfloat16;
  schema.rows[1].has_cosine = true;
  schema.rows[1].part = 1;
  schema.rows[1].infinite = 7;
  schema.histograms = 1;
  schema.parameters = {"fc.weight", "fc.bias"};
  schema.learning_rates = 1;
  schema.groups = {"net/0"};
  schema.activations = 2;
  schema.trainable = {15, 60};
  schema.frozen = {2, 8};
  schema.buffers = {1, 4};
  schema.layers = 1;
  schema.peak_flops = 1e12;
  return schema;
}

Schema tiny_schema() {
  Schema schema;
  schema.identity.run = "tiny";
  schema.identity.model = "Net";
  schema.identity.libtorch = "2.6.0";
  schema.identity.host = "node7";
  schema.identity.pid = 4711;
  schema.identity.start_time_ns = kStartNs;
  schema.rows.resize(1);
  schema.rows[0].name = "fc.weight";
  schema.rows[0].layer = "fc";
  schema.rows[0].shape = "[2]";
  schema.rows[0].element_count = 2;
  schema.rows[0].learning_rate = 0;
  schema.parameters = {"fc.weight"};
  schema.learning_rates = 1;
  schema.activations = 1;
  schema.trainable = {2, 8};
  schema.layers = 1;
  return schema;
}

RingOrigin fixed_origin(std::uint32_t uid) {
  RingOrigin origin;
  for (std::size_t i = 0; i < origin.ring_id.size(); ++i) {
    origin.ring_id[i] = static_cast<std::uint8_t>(0xA0 + i);
    origin.process.boot_id[i] = static_cast<std::uint8_t>(0xB0 + i);
  }
  origin.process.pid = 4711;
  origin.process.pid_namespace = 4026531836;
  origin.process.process_start = 123456;
  origin.uid = uid;
  origin.wall_time_ns = kStartNs - 1'000'000;
  origin.monotonic_ns = 1'234'567'890;
  return origin;
}

Bytes make_image(const Schema& schema, ChannelBounds bounds, const RingOrigin& origin, const std::function<void(RunChannel&)>& write) {
  const Segment segment = make_segment(layout_of(schema, bounds).total_bytes);
  const auto channel = make_channel(segment, schema, bounds, origin);
  write(*channel);
  return {segment.data, segment.data + segment.bytes};
}

void publish_step(RunChannel& channel, std::uint64_t step) {
  StepRecord record;
  record.step = step;
  record.wall_time_ns = kStartNs + static_cast<std::int64_t>(step) * 1'000'000'000;
  record.flags = StepRecord::has_loss | StepRecord::has_total_time;
  record.loss = 1.0 / static_cast<double>(step);
  record.total_ns = 1'000'000 + step;
  record.examples = 64;
  record.totals.samples = step;
  record.totals.hook_errors[static_cast<std::size_t>(Hook::guard)] = 1;
  record.user_scalars = channel.scalar_names().size();
  std::vector<double> scalars(channel.scalar_capacity());
  for (std::size_t i = 0; i < scalars.size(); ++i) scalars[i] = static_cast<double>(step) + 0.25 * static_cast<double>(i);
  channel.publish(record, scalars.data());
}

void publish_frame(RunChannel& channel, std::uint64_t step) {
  const Schema& schema = channel.schema();
  FrameHeader header;
  header.step = step;
  header.wall_time_ns = kStartNs + static_cast<std::int64_t>(step) * 1'000'000'000;
  header.activations = channel.layer_names().size();
  std::vector<TensorRow> rows(schema.rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].state = TensorRow::present;
    rows[i].moments = moments_of(step + i);
    if (schema.rows[i].has_update) rows[i].update_norm = 0.125;
    if (schema.rows[i].optimizer_state.empty()) continue;
    rows[i].states = 1;
    rows[i].state_norms[0] = 0.5;
  }
  std::vector<MagnitudeHistogram> histograms(schema.histograms);
  for (MagnitudeHistogram& histogram : histograms) histogram.buckets[20] = step;
  std::vector<ActivationRow> activations(header.activations);
  for (ActivationRow& activation : activations) {
    activation.step = step;
    activation.moments = moments_of(step + 10);
    activation.dead_ratio = 0.5;
  }
  channel.publish(header, rows.data(), histograms.data(), activations.data());
}

void publish_event(RunChannel& channel, std::uint64_t step) {
  NonfiniteEvent event;
  event.step = step;
  event.wall_time_ns = kStartNs + static_cast<std::int64_t>(step) * 1'000'000'000;
  event.found_by = FoundBy::replay;
  event.nonfinite_parameters = 1;
  event.backward = 1;
  event.layer.assign("fc");
  event.operation.assign("LogBackward0");
  event.forward_operation.assign("aten::log");
  event.parameter.assign("fc.weight");
  event.nearest_finite.assign("fc.bias");
  event.message.assign("LogBackward0 made 1 NaN");
  event.operand_count = 1;
  event.operands[0].description.assign("float32 [3, 4]");
  event.operands[0].moments = moments_of(1);
  channel.publish(event);
}

Bytes small_image(std::uint32_t uid) {
  return make_image(small_schema(), {2, 0}, fixed_origin(uid), [](RunChannel& channel) {
    channel.phase_names().find_or_append("validation");
    channel.scalar_names().find_or_append("validation/loss");
    channel.layer_names().find_or_append("fc/relu", 1);
    channel.note(Hook::guard).write_first("a gradient cannot be read");
    channel.note(Hook::guard).give_up();
    for (std::uint64_t step = 1; step <= 3; ++step) publish_step(channel, step);
    publish_frame(channel, 2);
    publish_event(channel, 3);
    channel.count_loss();
    LiveWords& live = channel.live();
    live.state.store(RunState::running);
    live.phase.store(1);
    live.end_signal.store(11);
    live.end_exit.store(1);
  });
}

Bytes tiny_image(std::uint32_t uid) {
  return make_image(tiny_schema(), {2, 0}, fixed_origin(uid), [](RunChannel& channel) {
    channel.live().state.store(RunState::running);
    TensorRow row;  // of -1 and 1.5
    row.state = TensorRow::present;
    row.moments.count = 2;
    row.moments.min = -1;
    row.moments.max = 1.5;
    row.moments.mean = 0.25;
    row.moments.l1 = 2.5;
    row.moments.m2 = 3.125;
    row.moments.sum_squares = 3.25;
    channel.publish(FrameHeader{1, kStartNs + 1'000'000'000, 0}, &row, nullptr);
    StepRecord step;
    step.step = 1;
    step.wall_time_ns = kStartNs + 1'000'000'000;
    step.flags = StepRecord::has_loss | StepRecord::has_gradient_norm;
    step.loss = 2.5;
    step.gradient_norm = 0.75;
    step.examples = 64;
    step.totals.examples = 64;
    step.totals.samples = 1;
    step.totals.overhead_ns = 125'000;
    std::vector<double> scalars(channel.scalar_capacity());
    scalars[0] = 0.001;
    channel.publish(step, scalars.data());
  });
}

Section section_of(const Bytes& image, SectionKind kind) { return header_of(image).sections[static_cast<std::size_t>(kind) - 1]; }

void repair_crc(Bytes& image) {
  if (image.size() >= sizeof(RingHeader)) write_at(image, offsetof(RingHeader, crc), crc32c(image.data(), offsetof(RingHeader, crc)));
}

void write_image(const std::string& path, const Bytes& image) {
  // Not O_TRUNC, after which ext4 waits for the disk.
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
  if (file < 0) throw std::system_error(errno, std::generic_category(), path);
  std::size_t written = 0;
  while (written < image.size()) {
    const ssize_t now = write(file, image.data() + written, image.size() - written);
    if (now <= 0) throw std::system_error(errno, std::generic_category(), path);
    written += static_cast<std::size_t>(now);
  }
  if (ftruncate(file, static_cast<off_t>(image.size())) != 0) throw std::system_error(errno, std::generic_category(), path);
  close(file);
}

std::size_t read_all(const std::string& path) {
  const auto file = std::make_shared<const RingFile>(path);
  for (std::size_t i = 0; i < kHookNames.size(); ++i) static_cast<void>(file->read_note(static_cast<Hook>(i)));
  static_cast<void>(file->read_live());
  static_cast<void>(file->writer(this_process()));
  std::size_t records = 0;
  RunFollower follower(std::make_unique<RingFileReader>(file));
  for (int turn = 0; turn < 2; ++turn) {
    follower.poll([&](const StepRecord&, const double*) { ++records; }, [&](const Frame&) { ++records; },
                  [&](const NonfiniteEvent&) { ++records; });
    static_cast<void>(follower.snapshot());
  }
  return records;
}

std::string problem_of(const std::string& path) {
  try {
    read_all(path);
    return {};
  } catch (const RingFileError& error) {
    return error.what();
  }
}

std::string to_hex_dump(const Bytes& image) {
  constexpr std::size_t kLine = 16;
  std::string out;
  bool skips = false;
  for (std::size_t line = 0; line < image.size(); line += kLine) {
    const std::size_t bytes = std::min(kLine, image.size() - line);
    const auto begin = image.begin() + static_cast<std::ptrdiff_t>(line);
    const bool is_last = line + kLine >= image.size();
    if (!is_last && std::all_of(begin, begin + static_cast<std::ptrdiff_t>(bytes), [](std::byte b) { return b == std::byte{0}; })) {
      if (!std::exchange(skips, true)) out += "*\n";
      continue;
    }
    skips = false;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%08zx:", line);
    out += text.data();
    std::string shown;
    for (std::size_t i = 0; i < kLine; ++i) {
      if (i >= bytes) {
        out += "   ";
        continue;
      }
      const auto byte = std::to_integer<unsigned>(begin[static_cast<std::ptrdiff_t>(i)]);
      std::snprintf(text.data(), text.size(), " %02x", byte);
      out += text.data();
      shown += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '.';
    }
    out += "  " + shown + "\n";
  }
  return out;
}

Bytes from_hex_dump(const std::string& text) {
  Bytes image;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line == "*") continue;
    const std::size_t offset = std::stoul(line, nullptr, 16);
    image.resize(offset);
    for (std::size_t at = line.find(':') + 2; at + 1 < line.size() && line[at] != ' '; at += 3)
      image.push_back(static_cast<std::byte>(std::stoul(line.substr(at, 2), nullptr, 16)));
  }
  return image;
}

}  // namespace vigil::test
