// What is sent, byte by byte: read, and written, by the libraries of protobuf and snappy.
#include "vigil/daemon/write_request.h"

#include <gtest/gtest.h>
#include <snappy.h>

#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

#include "daemon/decoded_request.h"

namespace vigil {
namespace {

using test::DecodedSeries;

constexpr std::int64_t kNow = 1'700'000'000'123;

double from_bits(std::uint64_t bits) {
  double value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::string message_of(const std::string& labels, const std::vector<WireSample>& samples) {
  std::string request;
  append_series(request, labels, samples.data(), samples.size());
  return request;
}

TEST(WriteRequest, IsByteForByteWhatTheLibraryWrites) {
  const std::vector<DecodedSeries> all{
      {{{"__name__", "vigil_loss"}, {"rank", "0"}, {"run", "mnist"}}, {{kNow, wire_bits(0.5)}, {kNow + 1, wire_bits(-2.5)}}},
      {{{"__name__", "vigil_gradient_norm"}, {"run", std::string(300, 'x')}}, {{-1, wire_bits(1e-310)}}},
  };
  std::string request;
  for (const DecodedSeries& series : all) {
    std::vector<Label> labels;
    for (const auto& [name, value] : series.labels) {
      if (name != "__name__") labels.push_back({name, value});
    }
    std::vector<WireSample> samples;
    for (const auto& [time, bits] : series.samples) samples.push_back({time, bits});
    append_series(request, encode_labels(series.labels.front().second, labels), samples.data(), samples.size());
  }
  EXPECT_EQ(request, encoded_by_library(all));
}

TEST(WriteRequest, KeepsEveryValueAndTime) {
  const std::vector<double> values{0,
                                   -0.0,
                                   1,
                                   -1.5,
                                   0.1,
                                   std::numeric_limits<double>::infinity(),
                                   -std::numeric_limits<double>::infinity(),
                                   std::numeric_limits<double>::max(),
                                   std::numeric_limits<double>::denorm_min(),
                                   static_cast<double>(0.1f)};
  const std::vector<std::int64_t> times{
      0, 1, 127, 128, 16383, 16384, kNow, -1, std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()};
  std::vector<WireSample> samples;
  std::vector<std::pair<std::int64_t, std::uint64_t>> expected;
  for (const std::int64_t time : times) {
    for (const double value : values) {
      samples.push_back({time, wire_bits(value)});
      std::uint64_t bits = 0;
      std::memcpy(&bits, &value, sizeof bits);
      expected.emplace_back(time, bits);
    }
  }
  const auto all = test::decode_message(message_of(encode_labels("vigil_loss", {}), samples));
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all.front().samples, expected);
}

TEST(WriteRequest, EveryNanIsTheSameOneAndNoneEndsASeries) {
  for (const std::uint64_t bits :
       {0x7ff8000000000000u, 0xfff8000000000000u, 0x7ff0000000000001u, 0x7ff0000000000002u, 0x7fffffffffffffffu, 0xfff0000000000002u})
    EXPECT_EQ(wire_bits(from_bits(bits)), 0x7ff8000000000001u) << std::hex << bits;
  const auto all = test::decode_message(message_of(encode_labels("vigil_loss", {}), {{kNow, kStaleBits}}));
  EXPECT_EQ(all.at(0).samples.at(0).second, 0x7ff0000000000002u) << "the one that ends a series goes through unchanged";
}

TEST(WriteRequest, LabelsAreInTheOrderOfTheirNames) {
  const auto all = test::decode_message(
      message_of(encode_labels("vigil_loss", {{"run", "mnist"}, {"Zone", "1"}, {"rank", "0"}, {"_x", "2"}, {"a", "3"}}), {{kNow, 0}}));
  const std::vector<std::pair<std::string, std::string>> expected{
      {"Zone", "1"}, {"__name__", "vigil_loss"}, {"_x", "2"}, {"a", "3"}, {"rank", "0"}, {"run", "mnist"}};
  EXPECT_EQ(all.at(0).labels, expected);
}

TEST(WriteRequest, LabelsWithoutAValueAreLeftOutAndWhatIsNotUtf8IsReplaced) {
  const auto all =
      test::decode_message(message_of(encode_labels("vigil_loss", {{"run", "a\xff\"\\\n\xc3\xa9"}, {"model", ""}}), {{kNow, 0}}));
  const std::vector<std::pair<std::string, std::string>> expected{{"__name__", "vigil_loss"}, {"run", "a\xef\xbf\xbd\"\\\n\xc3\xa9"}};
  EXPECT_EQ(all.at(0).labels, expected);
}

TEST(WriteRequest, RandomOnesComeBackThroughSnappy) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string request;
    std::vector<DecodedSeries> expected;
    const std::size_t count = random() % 20;
    for (std::size_t i = 0; i < count; ++i) {
      DecodedSeries& series = expected.emplace_back();
      std::vector<Label> labels;
      series.labels.emplace_back("__name__", "m" + std::to_string(i));
      for (std::size_t l = 0; l < random() % 5; ++l) {
        const std::string name = "l" + std::to_string(l),
                          value(1 + random() % (l == 3 ? 20'000 : 30), static_cast<char>('a' + random() % 26));
        labels.push_back({name, value});
        series.labels.emplace_back(name, value);
      }
      std::vector<WireSample> samples;
      for (std::size_t s = 0; s < random() % 50; ++s) {
        samples.push_back({static_cast<std::int64_t>(random()), wire_bits(from_bits(random()))});
        series.samples.emplace_back(samples.back().timestamp_ms, samples.back().bits);
      }
      append_series(request, encode_labels("m" + std::to_string(i), labels), samples.data(), samples.size());
    }
    const auto decoded = test::decode_body(compress_request(request));
    ASSERT_EQ(decoded.size(), expected.size());
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ(decoded[i].labels, expected[i].labels);
      EXPECT_EQ(decoded[i].samples, expected[i].samples);
    }
  }
}

TEST(WriteRequest, TheDecoderOfTheTestsRefusesWhatIsBroken) {
  const std::string good = message_of(encode_labels("vigil_loss", {{"run", "x"}}), {{kNow, wire_bits(1)}});
  EXPECT_NO_THROW(test::decode_message(good));
  EXPECT_THROW(test::decode_message(good.substr(0, good.size() - 1)), std::runtime_error);
  EXPECT_THROW(test::decode_message(good + "\x10\x01"), std::runtime_error) << "an unknown field";
  EXPECT_THROW(test::decode_body(good), std::runtime_error);
}

TEST(WriteRequest, HeadersSayWhatTheSpecificationWants) {
  EXPECT_EQ(kWriteContentType, "application/x-protobuf");
  EXPECT_EQ(write_headers(), (std::vector<std::string>{"Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 0.1.0"}));
}

}  // namespace
}  // namespace vigil
