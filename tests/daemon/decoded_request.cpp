#include "daemon/decoded_request.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/unknown_field_set.h>
#include <snappy.h>

#include <cstring>
#include <memory>
#include <stdexcept>

#include "exporters/text_parser.h"

namespace vigil::test {
namespace {

namespace pb = google::protobuf;

// The messages of remote write 1.0, written down from its specification.
constexpr const char* kMessages = R"(
  name: "write_request.proto" package: "prometheus" syntax: "proto3"
  message_type { name: "WriteRequest"
    field { name: "timeseries" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".prometheus.TimeSeries" } }
  message_type { name: "TimeSeries"
    field { name: "labels" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".prometheus.Label" }
    field { name: "samples" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".prometheus.Sample" } }
  message_type { name: "Label"
    field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } }
  message_type { name: "Sample"
    field { name: "value" number: 1 label: LABEL_OPTIONAL type: TYPE_DOUBLE }
    field { name: "timestamp" number: 2 label: LABEL_OPTIONAL type: TYPE_INT64 } }
)";

// Without generated code.
class Messages {
 public:
  Messages() {
    pb::FileDescriptorProto file;
    if (!pb::TextFormat::ParseFromString(kMessages, &file)) throw std::runtime_error("the messages cannot be read");
    request_ = pool_.BuildFile(file)->FindMessageTypeByName("WriteRequest");
  }
  std::unique_ptr<pb::Message> make_request() { return std::unique_ptr<pb::Message>(factory_.GetPrototype(request_)->New()); }

 private:
  pb::DescriptorPool pool_;
  pb::DynamicMessageFactory factory_;
  const pb::Descriptor* request_ = nullptr;
};

const pb::FieldDescriptor* field(const pb::Message& message, const char* name) { return message.GetDescriptor()->FindFieldByName(name); }

void check_known(const pb::Message& message) {
  if (!message.GetReflection()->GetUnknownFields(message).empty()) throw std::runtime_error("a field that the message does not have");
}

template <class Visit>
void for_each(const pb::Message& message, const char* name, Visit visit) {
  check_known(message);
  const pb::Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < reflection.FieldSize(message, field(message, name)); ++i)
    visit(reflection.GetRepeatedMessage(message, field(message, name), i));
}

std::string text_of(const pb::Message& message, const char* name) {
  check_known(message);
  return message.GetReflection()->GetString(message, field(message, name));
}

}  // namespace

std::string DecodedSeries::key() const {
  std::map<std::string, std::string> sorted(labels.begin(), labels.end());
  const std::string name = sorted["__name__"];
  sorted.erase("__name__");
  return series_key(name, sorted);
}

std::vector<DecodedSeries> decode_message(const std::string& request) {
  Messages messages;
  const auto message = messages.make_request();
  if (!message->ParseFromString(request)) throw std::runtime_error("not a WriteRequest");
  std::vector<DecodedSeries> all;
  for_each(*message, "timeseries", [&all](const pb::Message& series) {
    DecodedSeries& decoded = all.emplace_back();
    for_each(series, "labels",
             [&](const pb::Message& label) { decoded.labels.emplace_back(text_of(label, "name"), text_of(label, "value")); });
    for_each(series, "samples", [&](const pb::Message& sample) {
      check_known(sample);
      const double value = sample.GetReflection()->GetDouble(sample, field(sample, "value"));
      std::uint64_t bits = 0;
      std::memcpy(&bits, &value, sizeof bits);
      decoded.samples.emplace_back(sample.GetReflection()->GetInt64(sample, field(sample, "timestamp")), bits);
    });
  });
  return all;
}

std::vector<DecodedSeries> decode_body(const std::string& body) {
  std::string request;
  if (!snappy::Uncompress(body.data(), body.size(), &request)) throw std::runtime_error("not in snappy's block format");
  return decode_message(request);
}

std::string encoded_by_library(const std::vector<DecodedSeries>& all) {
  Messages messages;
  const auto request = messages.make_request();
  const auto add = [](pb::Message& to, const char* name) { return to.GetReflection()->AddMessage(&to, field(to, name)); };
  for (const DecodedSeries& series : all) {
    pb::Message* const one = add(*request, "timeseries");
    for (const auto& [name, value] : series.labels) {
      pb::Message* const label = add(*one, "labels");
      label->GetReflection()->SetString(label, field(*label, "name"), name);
      label->GetReflection()->SetString(label, field(*label, "value"), value);
    }
    for (const auto& [timestamp_ms, bits] : series.samples) {
      pb::Message* const sample = add(*one, "samples");
      double value = 0;
      std::memcpy(&value, &bits, sizeof value);
      sample->GetReflection()->SetDouble(sample, field(*sample, "value"), value);
      sample->GetReflection()->SetInt64(sample, field(*sample, "timestamp"), timestamp_ms);
    }
  }
  return request->SerializeAsString();
}

std::map<std::string, std::vector<std::pair<std::int64_t, std::uint64_t>>> samples_of(const std::vector<std::string>& bodies) {
  std::map<std::string, std::vector<std::pair<std::int64_t, std::uint64_t>>> all;
  for (const std::string& body : bodies) {
    for (const DecodedSeries& series : decode_body(body)) {
      auto& samples = all[series.key()];
      samples.insert(samples.end(), series.samples.begin(), series.samples.end());
    }
  }
  return all;
}

}  // namespace vigil::test
