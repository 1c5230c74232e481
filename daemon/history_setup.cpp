#include "vigil/daemon/history_setup.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <nlohmann/json.hpp>

#include "vigil/exporters/json_fields.h"
#include "vigil/exporters/json_text.h"
#include "vigil/exporters/record_json.h"
#include "vigil/history/column_codec.h"

namespace vigil {
namespace {

using nlohmann::json;

void append_size(std::string& out, std::string_view key, const ModelSize& size) {
  append_member(out, std::string(key) + "_elements", size.elements);
  append_member(out, std::string(key) + "_bytes", size.bytes);
}

// Zero where there is none.
std::uint64_t word(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? 0 : found->get<std::uint64_t>();
}

ModelSize size_of(const json& object, const std::string& key) {
  return {word(object, (key + "_elements").c_str()), word(object, (key + "_bytes").c_str())};
}

template <class Names>
std::size_t index_of(const Names& names, const std::string& name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw DamagedData("there is no '" + name + "'");
  return static_cast<std::size_t>(found - names.begin());
}

RowSchema read_row(const json& object) {
  RowSchema row;
  row.kind = static_cast<TensorKind>(index_of(kTensorKindNames, json_fields::text(object, "kind")));
  row.name = json_fields::text(object, "name");
  row.layer = json_fields::text(object, "layer");
  row.shape = json_fields::text(object, "shape");
  row.element_count = word(object, "elements");
  row.dtype = static_cast<DType>(index_of(kDTypeNames, json_fields::text(object, "dtype")));
  row.histogram = object.value("histogram", RowSchema::kNone);
  row.has_update = object.value("update", false);
  row.has_distance = object.value("distance", false);
  row.has_cosine = object.value("cosine", false);
  row.part = object.value("part", 0);
  row.learning_rate = object.value("learning_rate", RowSchema::kNone);
  row.infinite = word(object, "infinite");
  if (json_fields::has(object, "optimizer_state")) row.optimizer_state = json_fields::texts(object, "optimizer_state");
  return row;
}

}  // namespace

std::string tensors_json(const Schema& schema) {
  std::string out = "{";
  append_member(out, "parameters", schema.parameters);
  out += ",\"tensors\":[";
  for (const RowSchema& row : schema.rows) {
    out += &row == schema.rows.data() ? "{" : ",{";
    append_tensor_description(out, row);
    if (row.histogram != RowSchema::kNone) append_member(out, "histogram", row.histogram);
    if (row.has_update) append_member(out, "update", true);
    if (row.has_distance) append_member(out, "distance", true);
    if (row.has_cosine) append_member(out, "cosine", true);
    if (row.part != 0) append_member(out, "part", row.part);
    if (row.learning_rate != RowSchema::kNone) append_member(out, "learning_rate", row.learning_rate);
    if (row.infinite != 0) append_member(out, "infinite", row.infinite);
    if (!row.optimizer_state.empty()) append_member(out, "optimizer_state", row.optimizer_state);
    out += '}';
  }
  return out + "]}";
}

std::string setup_json(const Schema& schema) {
  std::string out = "{";
  append_member(out, "continued", schema.is_continued);
  append_member(out, "histograms", schema.histograms);
  append_member(out, "learning_rates", schema.learning_rates);
  append_member(out, "groups", schema.groups);
  append_member(out, "activations", schema.activations);
  append_member(out, "peak_flops", schema.peak_flops);
  append_size(out, "trainable", schema.trainable);
  append_size(out, "frozen", schema.frozen);
  append_size(out, "buffers", schema.buffers);
  append_member(out, "layers", schema.layers);
  return out + "}";
}

Schema read_setup(std::string_view tensors, std::string_view setup) {
  try {
    Schema schema;
    const json table = json_fields::parse_bounded(tensors), rest = json_fields::parse_bounded(setup);
    schema.parameters = json_fields::texts(table, "parameters");
    for (const json& row : json_fields::list(table, "tensors")) schema.rows.push_back(read_row(json_fields::object_in(row, "tensors")));
    schema.is_continued = json_fields::flag(rest, "continued");
    schema.histograms = word(rest, "histograms");
    schema.learning_rates = word(rest, "learning_rates");
    schema.groups = json_fields::texts(rest, "groups");
    schema.activations = word(rest, "activations");
    schema.peak_flops = json_fields::number(rest, "peak_flops");
    schema.trainable = size_of(rest, "trainable");
    schema.frozen = size_of(rest, "frozen");
    schema.buffers = size_of(rest, "buffers");
    schema.layers = word(rest, "layers");
    return schema;
  } catch (const DamagedData&) {
    throw;
  } catch (const std::exception& error) {
    throw DamagedData(std::string("what is known of a run's tensors cannot be read: ") + error.what());
  }
}

}  // namespace vigil
