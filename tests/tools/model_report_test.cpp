// `vigil inspect --distributions` and `--report` over saved models, as a user runs them.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "environment.h"
#include "files.h"
#include "markup.h"
#include "tools/command.h"
#include "tools/small_model.h"

namespace vigil::test {
namespace {

std::vector<float> uniform_floats(std::size_t count, float low, float high) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

class ModelReportCommand : public testing::Test {
 protected:
  std::string write(const std::vector<NamedFloats>& tensors, const std::string& name = "model.pt") {
    return folder.write(name, file_of(tensors)).string();
  }

  TemporaryFolder folder;
  const NamedFloats weight{"fc.weight", uniform_floats(4000, -1, 3), {40, 100}};
  const NamedFloats dead{"dead.weight", std::vector<float>(8, 0), {2, 4}};
};

TEST_F(ModelReportCommand, JsonHasTheDistributionToOneInAMillion) {
  const auto lines = json_lines(run_vigil({"inspect", write({weight, dead}), "--distributions", "--json"}).out);
  ASSERT_EQ(lines.size(), 1U);
  const auto& told = lines[0]["tensors"][0]["distribution"];
  long double sum = 0;
  for (const float value : weight.values) sum += value;
  const auto n = static_cast<long double>(weight.values.size());
  const long double mean = sum / n;
  long double m2 = 0, m3 = 0, m4 = 0;
  for (const float value : weight.values) {
    const long double d = value - mean;
    m2 += d * d / n;
    m3 += d * d * d / n;
    m4 += d * d * d * d / n;
  }
  const auto near = [](double figure, long double wanted) {
    EXPECT_NEAR(figure, static_cast<double>(wanted), 1e-6 * std::fabs(static_cast<double>(wanted)));
  };
  near(told["mean"].get<double>(), mean);
  near(told["std"].get<double>(), std::sqrt(m2));
  near(told["skewness"].get<double>(), m3 / (m2 * std::sqrt(m2)));
  near(told["kurtosis"].get<double>(), m4 / (m2 * m2));
  std::vector<float> sorted = weight.values;
  std::sort(sorted.begin(), sorted.end());
  for (const auto& quantile : told["quantiles"]) {
    const long double place = static_cast<long double>(quantile["q"].get<double>()) * (n - 1);
    const auto below = static_cast<std::size_t>(place);
    const long double lower = sorted[below], upper = sorted[std::min(below + 1, sorted.size() - 1)];
    near(quantile["value"].get<double>(), lower + (place - std::floor(place)) * (upper - lower));
  }
  // Counts of bins and of exponents are exact.
  const double lower = told["histogram"]["lower"].get<double>(), upper = told["histogram"]["upper"].get<double>();
  const auto counts = told["histogram"]["counts"].get<std::vector<std::uint64_t>>();
  ASSERT_EQ(counts.size(), 64U);
  std::vector<std::uint64_t> wanted(counts.size());
  for (const float value : weight.values) {
    std::size_t bin = 0;
    while (bin + 1 < counts.size() && value >= lower + static_cast<double>(bin + 1) * ((upper - lower) / 64)) ++bin;
    ++wanted[bin];
  }
  EXPECT_EQ(counts, wanted);
  const int lowest = told["exponents"]["lowest"].get<int>();
  std::vector<std::uint64_t> positive(told["exponents"]["positive"].size());
  for (const float value : weight.values) {
    if (value > 0) ++positive.at(static_cast<std::size_t>(std::ilogb(value) - lowest));
  }
  EXPECT_EQ(told["exponents"]["positive"].get<std::vector<std::uint64_t>>(), positive);
  // The estimate integrates to 1 by the trapezoidal rule.
  const auto density = told["density"]["values"].get<std::vector<double>>();
  double area = 0;
  for (std::size_t i = 1; i < density.size(); ++i) area += (density[i - 1] + density[i]) / 2;
  area *= (told["density"]["upper"].get<double>() - told["density"]["lower"].get<double>()) / static_cast<double>(density.size() - 1);
  EXPECT_NEAR(area, 1, 1e-3);
  EXPECT_EQ(lines[0]["all_parameters"]["elements"], 4008);
  EXPECT_EQ(lines[0]["all_parameters"]["zeros"], 8);
  EXPECT_EQ(lines[0]["tensors"][1]["distribution"]["kurtosis"], "NaN");
  ASSERT_EQ(lines[0]["tensors"][0]["precision"].size(), 5U);
  EXPECT_EQ(lines[0]["tensors"][0]["precision"][1]["format"], "bfloat16");
  EXPECT_EQ(lines[0]["tensors"][0]["precision"][1]["verdict"], "safe");
  // Without the option it is as it was.
  EXPECT_EQ(json_lines(run_vigil({"inspect", write({weight}), "--json"}).out)[0]["tensors"][0].count("distribution"), 0U);
}

TEST_F(ModelReportCommand, TextHasMomentsQuantilesHistogramsAndAdvice) {
  const std::string file = write({{"w.weight", {1, 2, 3, 4}, {4}}, dead});
  const CommandResult result = run_vigil({"inspect", file, "--distributions"});
  EXPECT_EQ(result.code, 0) << result.err;
  // Deviation sqrt(5/4), skewness 0, kurtosis 41/25; the 1 % quantile is 1 + 0.03.
  position(result.out, "w.weight            4   2.5  1.118         0      1.64    1  1.03     2.5  3.97    4");
  position(result.out, "all zero");
  position(result.out, "All floating-point tensors");
  position(result.out, "12 elements, 8 zero");
  position(result.out, "TENSOR       OF       AS float16");
}

TEST_F(ModelReportCommand, OneTensorIsShownInDetail) {
  const CommandResult result = run_vigil({"inspect", write({weight, dead}), "--distributions", "--tensor", "fc.weight"});
  EXPECT_EQ(result.code, 0);
  position(result.out, "fc.weight\n4,000 elements, 0 zero");
  position(result.out, "magnitudes by powers of two");
  EXPECT_EQ(result.out.find("dead.weight"), std::string::npos);
  // As of all of them, though no other is described.
  const auto tensors = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"inspect", folder.file("model.pt"), "--distributions", "--json"});
    return json_lines(run_vigil(options).out).at(0);
  };
  const auto all = tensors({}), one = tensors({"--tensor", "dead.weight"});
  ASSERT_EQ(one["tensors"].size(), 1U);
  EXPECT_EQ(one["tensors"][0], all["tensors"][1]);
  EXPECT_FALSE(one.contains("all_parameters"));
}

TEST_F(ModelReportCommand, ReportIsAWholePageBesideTheText) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::string file = write({weight, dead, {"<b>&\"bad\".weight", {1, nan}, {2, 1}}}), report = folder.file("out.html");
  const CommandResult result = run_vigil({"inspect", file, "--report", report});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, run_vigil({"inspect", file}).out);
  const Element page = MarkupReader::read(read_text(report));
  EXPECT_EQ(page.all("h1").at(0)->text, "model.pt");
  position(page.with_id("findings").text, "<b>&\"bad\".weight: 1 of 2 elements is NaN, the first at [1, 0]");
  position(page.with_id("findings").text, "dead.weight: all 8 elements are zero");
  EXPECT_EQ(page.with_id("group-0").all("tbody").at(0)->children.size(), 3U);
  EXPECT_TRUE(page.all("b").size() == page.with_id("findings").all("b").size());
  EXPECT_FALSE(page.with_id("precision").text.empty());
  EXPECT_EQ(page.with_id("whole").all("svg").size(), 2U);
  // Nothing is left beside it.
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++files;
  EXPECT_EQ(files, 2U);
}

TEST_F(ModelReportCommand, DamagedTensorsSayWhy) {
  std::string bytes = file_of({weight, dead});
  bytes[bytes.find("m/data/1") + 8 + 3] = '\x55';
  const std::string file = folder.write("damaged.pt", bytes).string(), report = folder.file("out.html");
  const CommandResult result = run_vigil({"inspect", file, "--report", report, "--distributions"});
  EXPECT_EQ(result.code, 1);
  const Element page = MarkupReader::read(read_text(report));
  position(page.with_id("group-0").text, "checksum");
  position(page.with_id("findings").text, "cannot be read");
  position(result.out, "checksum");
}

TEST_F(ModelReportCommand, WhatMakesNoSenseIsRefusedAndLosesNothing) {
  const std::string file = write({weight});
  const std::string before = read_text(file);
  const struct {
    std::vector<std::string> options;
    std::string says;
  } cases[] = {
      {{"--report", file}, "--report: " + file + " is the file that is inspected; name another one"},
      {{"--report", folder.path().string() + "/./model.pt"}, "is the file that is inspected"},
      {{"--report", folder.file("x.html"), "--tensor", "fc.weight"}, "--report is of all tensors; leave --tensor out"},
      {{"--report", ""}, "--report"},
      {{"--report", "-"}, "--report: expected the name of a file to write, got -"},
      {{"--rank", "-1"}, "--rank"},
  };
  for (const auto& one : cases) {
    std::vector<std::string> arguments{"inspect", file};
    arguments.insert(arguments.end(), one.options.begin(), one.options.end());
    const CommandResult result = run_vigil(arguments);
    EXPECT_EQ(result.code, 2) << one.says;
    EXPECT_EQ(result.out, "");
    position(result.err, one.says);
  }
  EXPECT_EQ(read_text(file), before);
}

TEST_F(ModelReportCommand, AReportThatCannotBeWrittenIsOneAndKeepsTheOldOne) {
  const std::string file = write({weight});
  const CommandResult none = run_vigil({"inspect", file, "--report", folder.file("no/such/folder/out.html")});
  EXPECT_EQ(none.code, 1);
  position(none.err, "vigil: --report: '");
  position(none.out, "fc.weight");
  const CommandResult full = run_vigil({"inspect", file, "--report", "/dev/full"});
  EXPECT_EQ(full.code, 1);
  position(full.err, "'/dev/full' cannot be written: No space left on device");
  // Of a model that cannot be opened there is no report, and the old one stays.
  const std::string old = folder.write("old.html", "old").string(), text = folder.write("text.pt", "text").string();
  EXPECT_EQ(run_vigil({"inspect", text, "--report", old}).code, 2);
  EXPECT_EQ(read_text(old), "old");
  EXPECT_EQ(run_vigil({"inspect", file, "--report", old}).code, 0);
  EXPECT_EQ(read_text(old).rfind("<!DOCTYPE html>", 0), 0U);
}

TEST_F(ModelReportCommand, NoColourAndNoMoreColumnsThanThereAre) {
  const std::string file = write({weight, dead});
  const EnvironmentVariable columns("COLUMNS", "60");
  const CommandResult result = run_vigil({"inspect", file, "--distributions"});
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos);
  EXPECT_NE(run_vigil({"inspect", file, "--distributions", "--color", "always"}).out.find('\x1b'), std::string::npos);
  std::size_t widest = 0, width = 0;
  for (const char c : result.out) {
    if ((static_cast<unsigned char>(c) & 0xC0) == 0x80) continue;  // not the first byte of a character
    width = c == '\n' ? 0 : width + 1;
    widest = std::max(widest, width);
  }
  EXPECT_LE(widest, 60U);
}

}  // namespace
}  // namespace vigil::test
