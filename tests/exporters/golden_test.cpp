// The whole exposition of a run as it was agreed on. `VIGIL_REFRESH=1 ctest -R Golden` writes the files anew; promtool lints them
// in tests of their own.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "exporters/test_run.h"
#include "files.h"
#include "vigil/exporters/text_format.h"

namespace vigil {
namespace {

using namespace test;

// Version and compiler are the build's, not the contract's.
void hide_build(std::vector<Family>& families) {
  for (Sample& sample : families.front().samples) {
    std::vector<Label> labels = sample.labels->labels();
    for (Label& label : labels) {
      if (label.name == "version" || label.name == "compiler") label.value = "…";
    }
    sample.labels = make_labels(std::move(labels));
  }
}

void compare(const Snapshot& snapshot, TextFormat format, const std::string& file_name, const PrometheusConfig& config = {}) {
  std::vector<Family> families = families_of(snapshot, config);
  ASSERT_EQ(families.front().name, "vigil_build_info");
  hide_build(families);
  const std::string text = render_text(families, format);
  const std::string path = std::string(VIGIL_GOLDEN_DIR) + "/" + file_name;
  if (std::getenv("VIGIL_REFRESH") != nullptr) std::ofstream(path) << text;
  EXPECT_EQ(text, read_text(path)) << path << ": run with VIGIL_REFRESH=1 and look at the difference";
}

TEST(Golden, FirstExpositionInText) { compare(*make_first_snapshot(), TextFormat::prometheus, "first.txt"); }
TEST(Golden, RunningExpositionInText) { compare(*make_running_snapshot(), TextFormat::prometheus, "running.txt"); }
TEST(Golden, ExpositionWithWhatFormatsLose) {
  PrometheusConfig config;
  config.precision = true;
  compare(*make_running_snapshot(), TextFormat::prometheus, "precision.txt", config);
}
TEST(Golden, RunningExpositionInOpenMetrics) { compare(*make_running_snapshot(), TextFormat::openmetrics, "running.openmetrics.txt"); }

}  // namespace
}  // namespace vigil
