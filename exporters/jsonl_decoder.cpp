#include "vigil/exporters/jsonl_decoder.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "vigil/exporters/json_fields.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/statistics.h"

namespace vigil {
namespace {

using namespace json_fields;
using nlohmann::json;

// What a hostile file may make a reader allocate. No model has as many.
constexpr std::uint64_t kMaxLearningRates = 4096, kMaxActivations = 65536, kMaxElements = std::uint64_t{1} << 53;

constexpr std::size_t kNotThere = ~std::size_t{0};

template <class Names>
std::size_t index_of(const Names& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? kNotThere : static_cast<std::size_t>(found - names.begin());
}

template <class Names>
std::size_t choice(const json& object, const char* key, const Names& names) {
  const std::string& value = text(object, key);
  const std::size_t index = index_of(names, value);
  if (index != kNotThere) return index;
  std::string expected;
  for (const auto& name : names) expected += (expected.empty() ? "" : ", ") + std::string(name);
  throw std::invalid_argument(std::string("\"") + key + "\": expected one of " + expected + ", got '" + value.substr(0, 64) + "'");
}

RunIdentity identity_of(const json& line) {
  RunIdentity identity;
  identity.run = text(line, "run");
  identity.rank = static_cast<int>(count(line, "rank", std::numeric_limits<int>::max()));
  identity.world_size = static_cast<int>(count(line, "world_size", std::numeric_limits<int>::max()));
  identity.model = text_or(line, "model", "");
  identity.model_fingerprint = text_or(line, "model_fingerprint", "");
  identity.libtorch = text_or(line, "libtorch", "");
  identity.host = text_or(line, "host", "");
  identity.pid = static_cast<std::int64_t>(count_or(line, "pid", 0));
  identity.attempt = static_cast<std::int64_t>(count_or(line, "attempt", 0));
  identity.start_time_ns = time_ns(line, "start_time");
  return identity;
}

NonfiniteEvent event_of(const json& line) {
  NonfiniteEvent event;
  event.step = count(line, "step");
  event.wall_time_ns = time_ns(line, "time");
  event.found_by = static_cast<FoundBy>(choice(line, "found_by", kFoundByNames));
  event.loss_nonfinite = flag(line, "loss_nonfinite") ? 1 : 0;
  event.backward = flag(line, "backward") ? 1 : 0;
  event.nonfinite_parameters = count(line, "nonfinite_parameters");
  event.layer.assign(text(line, "layer"));
  event.operation.assign(text(line, "operation"));
  event.forward_operation.assign(text(line, "forward_operation"));
  event.parameter.assign(text(line, "parameter"));
  event.nearest_finite.assign(text(line, "nearest_finite"));
  event.message.assign(text(line, "message"));
  if (!has(line, "operands")) return event;
  for (const json& item : list(line, "operands")) {
    if (event.operand_count == event.operands.size()) break;
    const json& from = object_in(item, "operands");
    OperandSeen& operand = event.operands[event.operand_count++];
    operand.description.assign(text(from, "tensor"));
    operand.moments.count = count(from, "elements");
    operand.moments.min = number(from, "min");
    operand.moments.max = number(from, "max");
    operand.moments.mean = number(from, "mean");
    operand.moments.nan_count = count(from, "nan_values");
    operand.moments.inf_count = count(from, "inf_values");
  }
  return event;
}

Schema schema_of(const json& line) {
  Schema schema;
  schema.identity = identity_of(line);
  if (!has(line, "tensors")) {
    throw std::invalid_argument(
        "expected \"tensors\", got a run without; the file is of a vigil that did not write yet what a replay needs");
  }
  schema.is_continued = line.contains("continued");
  schema.learning_rates = count(line, "learning_rates", kMaxLearningRates);
  schema.groups = texts(line, "groups");
  schema.activations = count(line, "max_activations", kMaxActivations);
  schema.parameters = texts(line, "parameters");
  for (const json& item : list(line, "tensors")) {
    const json& tensor = object_in(item, "tensors");
    RowSchema& row = schema.rows.emplace_back();
    row.kind = static_cast<TensorKind>(choice(tensor, "kind", kTensorKindNames));
    row.name = text(tensor, "name");
    row.layer = text(tensor, "layer");
    row.shape = text(tensor, "shape");
    row.element_count = count(tensor, "elements", kMaxElements);
    row.dtype = static_cast<DType>(choice(tensor, "dtype", kDTypeNames));
    if (tensor.contains("part")) row.part = static_cast<std::int32_t>(count(tensor, "part", kMaxLearningRates));
    if (tensor.contains("learning_rate")) {
      row.learning_rate = static_cast<std::int32_t>(count(tensor, "learning_rate", kMaxLearningRates));
      if (static_cast<std::size_t>(row.learning_rate) >= schema.learning_rates) row.learning_rate = RowSchema::kNone;
    }
    if (tensor.contains("infinite")) row.infinite = count(tensor, "infinite", kMaxElements);
    // Of which of them it is measured the frames tell: what they do not say is TensorRow::kNotMeasured.
    row.has_update = row.has_distance = row.kind == TensorKind::parameter;
    row.has_cosine = row.kind == TensorKind::gradient;
  }
  return schema;
}

bool is_same_run(const Schema& a, const Schema& b) {
  const RunIdentity &x = a.identity, &y = b.identity;
  if (x.run != y.run || x.rank != y.rank || x.host != y.host || x.pid != y.pid || x.attempt != y.attempt) return false;
  if (x.start_time_ns != y.start_time_ns || a.learning_rates != b.learning_rates || a.activations != b.activations) return false;
  return std::equal(a.rows.begin(), a.rows.end(), b.rows.begin(), b.rows.end(), [](const RowSchema& one, const RowSchema& other) {
    return one.kind == other.kind && one.name == other.name && one.shape == other.shape && one.dtype == other.dtype;
  });
}

// The sum m2 of `elements` with which standard_deviation() gives `deviation` again, to the last bit where there is one such.
double sum_of_squared_deviations(Moments moments, double deviation, std::uint64_t elements) {
  const double product = deviation * deviation * static_cast<double>(elements);
  double candidate = std::nextafter(std::nextafter(product, 0), 0);
  for (int i = 0; i < 5; ++i, candidate = std::nextafter(candidate, std::numeric_limits<double>::infinity())) {
    moments.m2 = candidate;
    if (standard_deviation(moments) == deviation) return candidate;
  }
  return product;
}

double not_nan_or_0(double value) { return is_nan_bits(value) ? 0 : value; }
double finite_or_0(double value) { return is_finite_bits(value) ? value : 0; }

// The moments that the statistics of a line were computed from.
Moments moments_of(const json& object) {
  Moments moments;
  moments.count = count(object, "elements", kMaxElements);
  moments.nan_count = count(object, "nan_values", moments.count);
  moments.inf_count = count(object, "inf_values", moments.count - moments.nan_count);
  const double zeros = number(object, "zero_ratio");
  if (!is_nan_bits(zeros) && !(zeros >= 0 && zeros <= 1)) {
    throw std::invalid_argument("\"zero_ratio\": expected a number from 0 to 1, got " + member(object, "zero_ratio").dump());
  }
  if (moments.count > 0)
    moments.zero_count = static_cast<std::uint64_t>(std::llround(finite_or_0(zeros) * static_cast<double>(moments.count)));
  // NaN where there is no finite element.
  moments.mean = finite_or_0(number(object, "mean"));
  moments.min = finite_or_0(number(object, "min"));
  moments.max = finite_or_0(number(object, "max"));
  const double deviation = not_nan_or_0(number(object, "std"));
  moments.l1 = number_or(object, "l1_norm", 0);
  const double norm = not_nan_or_0(number_or(object, "l2_norm", 0));
  // float64 tensors whose squares leave the range of double; those whose norm does, too, have an infinite one.
  constexpr int kLargestSquare = 480;
  const double largest = std::max(std::fabs(finite_or_0(norm)), std::fabs(finite_or_0(deviation)));
  if (largest > 0 && std::abs(std::ilogb(largest)) > kLargestSquare) moments.scale_exponent = std::ilogb(largest);
  const int scale = -static_cast<int>(moments.scale_exponent);
  const double scaled = std::ldexp(norm, scale);
  moments.sum_squares = scaled * scaled;
  if (const std::uint64_t finite = finite_count(moments); finite > 0 && deviation != 0) {
    if (scale == 0) {
      moments.m2 = sum_of_squared_deviations(moments, deviation, finite);
    } else {
      moments.m2 = std::ldexp(deviation, scale) * std::ldexp(deviation, scale) * static_cast<double>(finite);
    }
  }
  return moments;
}

void check_total(const std::string& name, std::uint64_t before, std::uint64_t now) {
  if (now >= before) return;
  throw std::invalid_argument("\"" + name + "\": expected at least " + std::to_string(before) + ", as in the step before, got " +
                              std::to_string(now));
}

// Counters of one run never fall, and what has come since the step before is their difference.
void check_totals(const RunTotals& before, const RunTotals& now) {
  for (std::size_t i = 0; i < kNonfiniteInNames.size(); ++i) {
    const std::string name = "nonfinite_values." + std::string(kNonfiniteInNames[i]);
    check_total(name + "_nan", before.nonfinite_values[i].nan, now.nonfinite_values[i].nan);
    check_total(name + "_inf", before.nonfinite_values[i].inf, now.nonfinite_values[i].inf);
  }
  check_total("nonfinite_steps", before.nonfinite_steps, now.nonfinite_steps);
  check_total("skipped_steps", before.skipped_steps, now.skipped_steps);
  check_total("rollbacks", before.rollbacks, now.rollbacks);
  check_total("micro_batches", before.micro_batches, now.micro_batches);
  check_total("examples_total", before.examples, now.examples);
  check_total("samples", before.samples, now.samples);
  check_total("layers_dropped", before.layers_dropped, now.layers_dropped);
  for (std::size_t i = 0; i < kHookNames.size(); ++i)
    check_total("hook_errors." + std::string(kHookNames[i]), before.hook_errors[i], now.hook_errors[i]);
}

}  // namespace

JsonlItem JsonlDecoder::decode(std::string_view line) {
  json object;
  try {
    object = parse_bounded(line);
  } catch (const json::exception&) {
    throw JsonlSyntaxError(kNoJsonLine);
  }
  if (!object.is_object()) throw std::invalid_argument("expected an object, as exporters.jsonl writes it");
  const std::string& type = text(object, "type");
  if (type == "run") return decode_run(object);
  if (schema_ == nullptr) throw std::invalid_argument("expected a line of the type \"run\" first, got '" + type.substr(0, 64) + "'");
  if (type == "step") {
    decode_step(object);
    return JsonlItem::step;
  }
  if (type == "scalars") {
    if (count(object, "step") != record_.step) throw std::invalid_argument("\"step\": expected the latest step, got another one");
    record_.flags |= StepRecord::again;
    decode_scalars(object);
    return JsonlItem::step;
  }
  if (type == "frame") {
    decode_frame(object);
    return JsonlItem::frame;
  }
  if (type == "nonfinite") {
    event_ = event_of(object);
    return JsonlItem::event;
  }
  if (type == "lost") {
    lost_lines_ = count(object, "lines");
    return JsonlItem::lost;
  }
  return type == "alert" ? JsonlItem::alert : JsonlItem::other;
}

JsonlItem JsonlDecoder::decode_run(const json& line) {
  auto schema = std::make_shared<const Schema>(schema_of(line));
  if (schema_ != nullptr && is_same_run(*schema, *schema_)) return JsonlItem::continued;
  schema_ = std::move(schema);
  scalar_names_ = std::make_unique<ScalarNames>();
  record_ = {};
  scalars_.assign(schema_->learning_rates + ScalarNames::kCapacity, 0.0);
  header_ = {};
  rows_.assign(schema_->rows.size(), {});
  activations_.clear();
  layers_.clear();
  layer_rows_.clear();
  event_ = {};
  return JsonlItem::run;
}

void JsonlDecoder::decode_step(const json& line) {
  const std::uint64_t step = count(line, "step");
  if (step <= record_.step) {
    throw std::invalid_argument("\"step\": expected one after " + std::to_string(record_.step) + ", got " + std::to_string(step));
  }
  const std::uint64_t user_scalars = record_.user_scalars;
  const RunTotals before = record_.totals;
  record_ = {};
  record_.step = step;
  record_.user_scalars = user_scalars;
  record_.wall_time_ns = time_ns(line, "time");
  const auto read = [&](const char* key, StepRecord::Flag flag, double& value) {
    if (!has(line, key)) return;
    value = number(line, key);
    record_.flags |= flag;
  };
  read("loss", StepRecord::has_loss, record_.loss);
  read("gradient_norm", StepRecord::has_gradient_norm, record_.gradient_norm);
  read("parameter_norm", StepRecord::has_parameter_norm, record_.parameter_norm);
  read("clip_ratio", StepRecord::has_clip_ratio, record_.clip_ratio);
  if (has(line, "total_seconds")) {
    record_.total_ns = duration_ns(line, "total_seconds");
    record_.forward_backward_ns = duration_ns(line, "forward_backward_seconds");
    record_.vigil_ns = duration_ns(line, "vigil_seconds");
    record_.flags |= StepRecord::has_total_time;
  }
  if (has(line, "data_seconds")) {
    record_.data_ns = duration_ns(line, "data_seconds");
    record_.flags |= StepRecord::has_data_time;
  }
  if (has(line, "optimizer_seconds")) {
    record_.optimizer_ns = duration_ns(line, "optimizer_seconds");
    record_.flags |= StepRecord::has_optimizer_time;
  }
  record_.examples = count_or(line, "examples", 0);
  record_.multiply_accumulates = count_or(line, "multiply_accumulates", 0);
  if (flag(line, "nonfinite")) record_.flags |= StepRecord::nonfinite;
  if (flag(line, "skipped")) record_.flags |= StepRecord::skipped;
  record_.origin_step = count_or(line, "origin_step", 0);
  if (has(line, "origin")) {
    const std::size_t index = index_of(schema_->parameters, text(line, "origin"));
    if (index != kNotThere) record_.origin = static_cast<std::int64_t>(index);
  }
  const json& rates = list(line, "learning_rates");
  if (rates.size() != schema_->learning_rates) {
    throw std::invalid_argument("\"learning_rates\": expected " + std::to_string(schema_->learning_rates) + ", got " +
                                std::to_string(rates.size()));
  }
  for (std::size_t i = 0; i < rates.size(); ++i) scalars_[i] = number(rates[i], std::string("learning_rates"));
  decode_totals(line);
  check_totals(before, record_.totals);
  decode_scalars(line);
}

void JsonlDecoder::decode_totals(const json& line) {
  RunTotals& totals = record_.totals;
  const json& values = object(line, "nonfinite_values");
  for (std::size_t i = 0; i < kNonfiniteInNames.size(); ++i) {
    const std::string name(kNonfiniteInNames[i]);
    totals.nonfinite_values[i] = {count(values, (name + "_nan").c_str()), count(values, (name + "_inf").c_str())};
  }
  totals.nonfinite_steps = count(line, "nonfinite_steps");
  totals.skipped_steps = count(line, "skipped_steps");
  totals.rollbacks = count(line, "rollbacks");
  totals.micro_batches = count(line, "micro_batches");
  totals.examples = count_or(line, "examples_total", 0);
  totals.samples = count_or(line, "samples", 0);
  totals.layers_dropped = count_or(line, "layers_dropped", 0);
  totals.overhead_ns = duration_ns(line, "overhead_seconds");
  totals.loop_overhead_ns = duration_ns(line, "loop_overhead_seconds");
  totals.loop_ns = duration_ns(line, "loop_seconds");
  if (has(line, "hook_errors")) {
    const json& errors = object(line, "hook_errors");
    for (std::size_t i = 0; i < kHookNames.size(); ++i) totals.hook_errors[i] = count_or(errors, std::string(kHookNames[i]).c_str(), 0);
  }
  if (has(line, "device")) {
    const json& device = object(line, "device");
    record_.device_allocated = count(device, "allocated_bytes");
    record_.device_reserved = count(device, "reserved_bytes");
    record_.device_peak = count(device, "peak_bytes");
    record_.device_retries = count(device, "retries");
    record_.device_out_of_memory = count(device, "out_of_memory");
    record_.flags |= StepRecord::has_device_memory;
  }
}

void JsonlDecoder::decode_scalars(const json& line) {
  const json& scalars = object(line, "scalars");
  for (const auto& item : scalars.items()) {
    const int index = scalar_names_->find_or_append(item.key());
    if (index < 0) {
      throw std::invalid_argument("\"scalars\": expected at most " + std::to_string(ScalarNames::kCapacity) + " names of 1 to " +
                                  std::to_string(ScalarNames::kMaxBytes) + " bytes, got more, or a longer one");
    }
    scalars_[schema_->learning_rates + static_cast<std::size_t>(index)] = number(item.value(), std::string("scalars"));
  }
  record_.user_scalars = scalar_names_->size();
}

void JsonlDecoder::decode_tensor(const json& item, std::size_t index) {
  const json& tensor = object_in(item, "tensors");
  const RowSchema& schema = schema_->rows[index];
  TensorRow& row = rows_[index];
  row = {};
  if (text(tensor, "name") != schema.name || text(tensor, "kind") != kTensorKindNames[static_cast<std::size_t>(schema.kind)]) {
    throw std::invalid_argument("\"tensors\": expected the tensors of the run's line in their order, got another one at place " +
                                std::to_string(index));
  }
  if (has(tensor, "state")) {
    const std::string state = text(tensor, "state");
    if (state == "unreadable") row.state = TensorRow::unreadable;
    if (state == "frozen") row.state = TensorRow::frozen;
    return;
  }
  row.state = TensorRow::present;
  row.moments = moments_of(tensor);
  row.update_norm = number_or(tensor, "update_norm", TensorRow::kNotMeasured);
  row.distance = number_or(tensor, "distance", TensorRow::kNotMeasured);
  row.cosine = number_or(tensor, "cosine", TensorRow::kNotMeasured);
}

void JsonlDecoder::decode_activation(const json& item) {
  const json& activation = object_in(item, "activations");
  const std::string &layer = text(activation, "layer"), &phase = text(activation, "phase");
  const auto [place, is_new] = layer_rows_.emplace(std::pair(layer, phase), layers_.size());
  if (is_new) {
    if (layers_.size() >= schema_->activations) {
      throw std::invalid_argument("\"activations\": expected at most " + std::to_string(schema_->activations) + " layers, got more");
    }
    layers_.push_back({layer, phase});
    activations_.emplace_back();
  }
  ActivationRow& row = activations_[place->second];
  row = {};
  row.moments = moments_of(activation);
  row.saturated_ratio = number_or(activation, "saturated_ratio", TensorRow::kNotMeasured);
  row.dead_ratio = number_or(activation, "dead_ratio", TensorRow::kNotMeasured);
  row.step = count(activation, "step");
}

void JsonlDecoder::decode_frame(const json& line) {
  const std::uint64_t step = count(line, "step");
  if (step < header_.step)
    throw std::invalid_argument("\"step\": expected one after " + std::to_string(header_.step) + ", got " + std::to_string(step));
  header_.step = step;
  header_.wall_time_ns = time_ns(line, "time");
  const json& tensors = list(line, "tensors");
  if (tensors.size() != rows_.size()) {
    throw std::invalid_argument("\"tensors\": expected " + std::to_string(rows_.size()) + " as in the run's line, got " +
                                std::to_string(tensors.size()));
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) decode_tensor(tensors[i], i);
  if (has(line, "activations")) {
    for (const json& item : list(line, "activations")) decode_activation(item);
  }
  header_.activations = activations_.size();
}

NonfiniteEvent read_event(std::string_view text) { return event_of(parse_bounded(text)); }

}  // namespace vigil
