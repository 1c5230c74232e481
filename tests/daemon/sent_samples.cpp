#include "daemon/sent_samples.h"

#include "exporters/text_parser.h"

namespace vigil::test {

std::map<std::string, std::uint64_t> wire_values(const std::vector<Family>& families) {
  std::map<std::string, std::uint64_t> values;
  const auto add = [&values](const std::string& name, const Labels& labels, double value) {
    std::map<std::string, std::string> sorted;
    for (const Label& label : labels->labels()) sorted[label.name] = label.value;
    values[series_key(name, sorted)] = wire_bits(value);
  };
  for (const Family& family : families) {
    const std::string name(family.name);
    for (const Sample& sample : family.samples) add(name, sample.labels, sample.value);
    for (const HistogramSample& sample : family.histograms) {
      add(name + "_sum", sample.labels, sample.value.sum);
      add(name + "_count", sample.labels, static_cast<double>(sample.value.count));
    }
  }
  return values;
}

}  // namespace vigil::test
