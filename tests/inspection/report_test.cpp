// The report of a model: what a browser is given, and that its figures are those of the elements.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "inspection/memory_tensor.h"
#include "markup.h"
#include "vigil/inspection/distribution_text.h"
#include "vigil/inspection/model_report.h"
#include "vigil/monitor/reduction.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

using test::Element;
using test::MarkupReader;

constexpr float kNanFloat = std::numeric_limits<float>::quiet_NaN(), kInfFloat = std::numeric_limits<float>::infinity();

std::vector<float> normal_numbers(std::size_t count, float scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

ModelTensor weight(const std::string& name, std::vector<float> values) {
  return memory_tensor(name, ElementType::float32, std::move(values));
}

ReportTensor sampled(const std::string& name, const char* group, const std::vector<float>& values) {
  ReportTensor tensor;
  tensor.name = name;
  tensor.group = group;
  tensor.shape = "[" + std::to_string(values.size()) + "]";
  tensor.dtype = "float32";
  tensor.elements = values.size();
  MagnitudeHistogram magnitudes;
  tensor.moments = compute_moments(DType::float32, values.data(), values.size(), &magnitudes);
  tensor.magnitudes = magnitudes;
  return tensor;
}

Element page_of(const ModelReport& report, const ReportLimits& limits = {}) { return MarkupReader::read(report_html(report, limits)); }

// Cells of the body's rows of a section's last table.
std::vector<std::vector<std::string>> cells_of(const Element& section) {
  std::vector<std::vector<std::string>> rows;
  for (const Element& row : section.all("tbody").back()->children) {
    std::vector<std::string>& cells = rows.emplace_back();
    for (const Element& cell : row.children) cells.push_back(cell.text);
  }
  return rows;
}

// Heights of the bars of a path, upwards positive.
std::vector<double> bar_heights_of(const Element& svg, const std::string& style) {
  std::vector<double> heights;
  for (const Element* const path : svg.all("path")) {
    if (path->attribute("class") != style) continue;
    std::istringstream steps(path->attribute("d"));
    std::string bar;
    while (std::getline(steps, bar, 'M')) {
      if (!bar.empty()) heights.push_back(-std::stod(bar.substr(bar.find('v') + 1)));
    }
  }
  return heights;
}

TEST(Report, IsWellFormedAndAsksForNothing) {
  ModelReport report = report_of({weight("a.weight", normal_numbers(5000, 1, 1)), weight("b.bias", {0, 0, 0})});
  report.title = "m.pt";
  report.facts = {{"file", "m.pt"}};
  report.findings = {{true, "a.weight", "is bad"}};
  report.notes = {"a note"};
  const std::string html = report_html(report);
  const Element page = MarkupReader::read(html);
  EXPECT_EQ(page.name, "html");
  EXPECT_EQ(page.attribute("lang"), "en");
  EXPECT_EQ(html.rfind("<!DOCTYPE html>", 0), 0U);
  for (const char* const forbidden : {"http:", "https:", "src=", "url(", "@import", "<script", "<link", "<iframe", "javascript:"})
    EXPECT_EQ(html.find(forbidden), std::string::npos) << forbidden;
  for (const Element* const link : page.all("a")) {
    ASSERT_EQ(link->attribute("href").rfind("#", 0), 0U);
    EXPECT_NO_THROW(page.with_id(link->attribute("href").substr(1)));
  }
  EXPECT_NE(html.find("default-src 'none'"), std::string::npos);
  EXPECT_NE(html.find("prefers-color-scheme:dark"), std::string::npos);
  EXPECT_NE(html.find("@media print"), std::string::npos);
  // Who cannot see them is told what they are.
  ASSERT_GE(page.all("svg").size(), 4U);
  for (const Element* const svg : page.all("svg")) {
    EXPECT_EQ(svg->attribute("role"), "img");
    EXPECT_NE(svg->children.at(0).text, "");
    EXPECT_EQ(svg->children.at(0).name, "title");
  }
}

TEST(Report, NamesOfAnyBytesAreTextAndNothingElse) {
  const std::string script = "<script>alert(1)</script>", closing = "\"'/><svg onload=x>&amp;", raw = "\xff\xfe\x1b[31m\x00 \n";
  const std::string all = script + closing + raw + "]]>-->" + std::string(5000, 'x');
  ModelReport report;
  report.title = all;
  report.facts = {{all, all}};
  report.notes = {all};
  report.findings = {{true, all, all}, {false, all, all}};
  ModelTensor tensor = weight(all, {1, 2, 3});
  report.tensors = report_tensors({tensor}, all);
  ReportTensor unread;
  unread.name = unread.group = unread.shape = unread.dtype = unread.problem = all;
  report.tensors.push_back(unread);
  const std::string html = report_html(report);
  const Element page = MarkupReader::read(html);
  EXPECT_TRUE(page.all("script").empty());
  for (const Element* const svg : page.all("svg")) EXPECT_EQ(svg->attribute("onload"), "");
  EXPECT_EQ(html.find('\x1b'), std::string::npos);
  EXPECT_EQ(html.find('\0'), std::string::npos);
  EXPECT_EQ(page.all("h1").at(0)->text.rfind(script + closing, 0), 0U);
  EXPECT_EQ(cells_of(page.with_id("group-0")).at(0).at(0).rfind(script, 0), 0U);
  EXPECT_LT(html.size(), 150'000U);
}

TEST(Report, FiguresAreThoseOfTheElements) {
  const std::vector<float> values = normal_numbers(20'001, 0.37F, 3);
  const Element page = page_of(report_of({weight("fc.weight", values)}));
  long double sum = 0;
  for (const float value : values) sum += value;
  const auto n = static_cast<long double>(values.size());
  const long double mean = sum / n;
  long double m2 = 0, m3 = 0, m4 = 0;
  for (const float value : values) {
    const long double d = value - mean;
    m2 += d * d / n;
    m3 += d * d * d / n;
    m4 += d * d * d * d / n;
  }
  const auto shown = [](long double value) { return short_number(static_cast<double>(value)); };
  std::vector<float> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const std::vector<std::string> row = cells_of(page.with_id("group-0")).at(0);
  // Name, two pictures (with their titles), shape and type, elements, figures, zeros, what is not finite.
  ASSERT_EQ(row.size(), 13U);
  EXPECT_EQ(row[0], "fc.weight");
  EXPECT_EQ(row[3], "[20001]float32");
  EXPECT_EQ(row[4], "20,001");
  EXPECT_EQ(row[5], shown(mean));
  EXPECT_EQ(row[6], shown(std::sqrt(m2)));
  EXPECT_EQ(row[7], shown(sorted.front()));
  EXPECT_EQ(row[8], shown(sorted.back()));
  EXPECT_EQ(row[9], shown(m3 / (m2 * std::sqrt(m2))));
  EXPECT_EQ(row[10], shown(m4 / (m2 * m2)));
  EXPECT_EQ(row[11], "0");
  EXPECT_EQ(row[12], "0");
  // The whole is the same tensor. Definition 7: (n - 1) q is a whole number for these.
  const std::vector<std::string> quantiles = cells_of(page.with_id("whole")).at(0);
  ASSERT_EQ(quantiles.size(), kQuantiles.size() + 1);
  for (const std::size_t i : {1, 3, 4, 5, 6, 7, 8, 9, 11})
    EXPECT_EQ(quantiles[i], shown(sorted[static_cast<std::size_t>(std::lround(20'000 * kQuantiles[i - 1]))])) << kQuantiles[i - 1];
}

TEST(Report, BarsAreAsHighAsTheSquareRootsOfTheCounts) {
  // 1 element in the first of 64 bins, 4 in the last, none between; by exponent 4 of 2^1 upwards, 1 of 2^0 downwards.
  const Element page = page_of(report_of({weight("w.weight", {-1, 3, 3, 3, 3})}));
  const std::vector<const Element*> pictures = page.with_id("group-0").all("svg");
  ASSERT_EQ(pictures.size(), 2U);
  const std::vector<double> bars = bar_heights_of(*pictures[0], "bar");
  ASSERT_EQ(bars.size(), 2U);
  EXPECT_NEAR(bars[1] / bars[0], 2, 0.01);
  const std::vector<double> up = bar_heights_of(*pictures[1], "bar"), down = bar_heights_of(*pictures[1], "negative");
  ASSERT_EQ(up.size(), 1U);
  ASSERT_EQ(down.size(), 1U);
  EXPECT_NEAR(up[0] / down[0], -2, 0.02);
}

TEST(Report, WhatIsNotFiniteDeadOrConstantIsNamed) {
  const Element page =
      page_of(report_of({weight("a", {1, kNanFloat, kInfFloat, -kInfFloat, 0}), weight("dead", std::vector<float>(64, 0)),
                         weight("same", std::vector<float>(64, 3)), weight("nan", {kNanFloat, kNanFloat}), weight("none", {})}));
  const auto rows = cells_of(page.with_id("group-0"));
  ASSERT_EQ(rows.size(), 5U);
  EXPECT_EQ(rows[0].back(), "1 NaN, 2 Inf");
  EXPECT_EQ(rows[0][11], "20 %");
  EXPECT_EQ(rows[1][1], "all zero");
  EXPECT_EQ(rows[2][1], "constant");
  EXPECT_EQ(rows[3][1], "no finite element");
  EXPECT_EQ(rows[3][5], "–");
  EXPECT_EQ(rows[4][1], "no elements");
  const auto overview = cells_of(page.with_id("overview"));
  EXPECT_EQ(overview.at(0), (std::vector<std::string>{"Parameters", "5", "135", "540 bytes", "48.15 %", "3", "2"}));
}

TEST(Report, OfNothingSaysSo) {
  const Element page = page_of(ModelReport());
  EXPECT_NE(page.with_id("overview").text.find("There is no tensor in it."), std::string::npos);
  for (const Element* const link : page.all("a")) EXPECT_NO_THROW(page.with_id(link->attribute("href").substr(1)));
}

TEST(Report, SharedMemoryCountsOnce) {
  ModelTensor first = weight("embedding.weight", {1, 2, 3, 4}), second = first, buffer = weight("running_mean", {1, 2});
  second.name = "head.weight";
  first.memory = second.memory = 7;
  buffer.role = ModelTensor::Role::buffer;
  const Element page = page_of(report_of({buffer, first, second}));
  const auto overview = cells_of(page.with_id("overview"));
  ASSERT_EQ(overview.size(), 3U);
  EXPECT_EQ(overview[0][0], "Parameters");  // before the buffers, whatever stands first in the file
  EXPECT_EQ(overview[0][1], "1 and 1 shared");
  EXPECT_EQ(overview[0][2], "4");
  EXPECT_EQ(overview[2][2], "6");
  EXPECT_EQ(cells_of(page.with_id("group-0")).at(1).at(0), "head.weightshares memory");
}

TEST(Report, ParametersStandBesideTheirGradients) {
  ModelReport report;
  report.tensors = {sampled("a.weight", kParameterGroup, normal_numbers(500, 1, 5)), sampled("b.weight", kParameterGroup, {1, 2}),
                    sampled("b.weight", kGradientGroup, {0, 0}), sampled("a.weight", kGradientGroup, normal_numbers(500, 1e-3F, 6)),
                    sampled("c.weight", kGradientGroup, {4, 8})};
  const Element page = page_of(report);
  const Element& group = page.with_id("group-0");
  EXPECT_EQ(group.all("h2").at(0)->text, "Parameters and their gradients");
  const auto rows = cells_of(group);
  ASSERT_EQ(rows.size(), 6U);
  EXPECT_EQ(rows[0][0], "a.weight");
  EXPECT_EQ(rows[0][4], "parameter");
  EXPECT_EQ(rows[1][0], "gradient");
  EXPECT_EQ(rows[1][2], short_number(standard_deviation(*report.tensors[3].moments)));
  EXPECT_EQ(rows[2][0], "b.weight");
  EXPECT_EQ(rows[3][0], "gradient all zero");
  EXPECT_EQ(rows[4][0], "c.weight");
  EXPECT_EQ(rows[4][5], "not sampled");
  EXPECT_EQ(rows[5][4], "8");
  // A parameter's magnitudes upwards, its gradient's downwards.
  const Element& picture = *group.all("svg").at(0);
  EXPECT_GT(bar_heights_of(picture, "bar").at(0), 0);
  EXPECT_LT(bar_heights_of(picture, "negative").at(0), 0);
}

TEST(Report, GradientsInMemoryHaveDistributionsToo) {
  ModelReport report = report_of({weight("a.weight", normal_numbers(500, 1, 5))});
  const std::vector<float> gradient = {1, 2, 3, 4};
  for (ReportTensor& tensor : report_tensors({weight("a.weight", gradient)}, kGradientGroup)) report.tensors.push_back(std::move(tensor));
  const Element page = page_of(report);
  const Element& group = page.with_id("group-0");
  EXPECT_EQ(group.all("svg").size(), 3U);  // magnitudes of both, and each by value
  const auto rows = cells_of(group);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1][0], "gradient");
  EXPECT_EQ(rows[1][7], "1.64");  // kurtosis: 41/16 / (25/16)
  EXPECT_EQ(group.all("th").size(), 14U + 1U);
  EXPECT_EQ(rows[0].size(), 14U);
}

TEST(Report, AdviceIsThatOfTheMagnitudes) {
  ModelReport report;
  report.tensors = {sampled("small.weight", kGradientGroup, normal_numbers(4000, 1e-7F, 7)),
                    sampled("large.weight", kGradientGroup, normal_numbers(4000, 1e5F, 8)), sampled("steps", kBufferGroup, {1, 2})};
  report.tensors[2].dtype = "int64";
  const Element page = page_of(report);
  const Element& section = page.with_id("precision");
  const auto rows = cells_of(section);
  ASSERT_EQ(rows.size(), 2U);  // integers have no smaller format
  EXPECT_EQ(rows[0][1], "gradient");
  for (std::size_t tensor = 0; tensor < 2; ++tensor) {
    const PrecisionAdvice advice = advise(*report.tensors[tensor].magnitudes, *report.tensors[tensor].moments);
    for (std::size_t i = 0; i < advice.size(); ++i) {
      const std::string wanted = advice[i].verdict == FormatVerdict::safe_scaled ? "safe × 2^" + std::to_string(advice[i].scale)
                                                                                 : std::string(name_of(advice[i].verdict));
      EXPECT_NE(rows[tensor][i + 2].find(wanted), std::string::npos) << rows[tensor][i + 2] << " for " << wanted;
    }
  }
  // What is above 2^4 is not told apart: all but those of 1e5 that are below may be too large for float16.
  EXPECT_EQ(rows[1][2].rfind("≤ " + percent_text(advise(*report.tensors[1].magnitudes, *report.tensors[1].moments)[0].loss.overflow), 0),
            0U);
  const auto verdicts = cells_of(*section.all("div").at(0));
  ASSERT_EQ(verdicts.size(), kNumberFormats.size());
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    std::vector<std::string> counts{std::string(kNumberFormats[i].name), "0", "0", "0", "0"};
    for (std::size_t tensor = 0; tensor < 2; ++tensor)
      ++counts[1 + static_cast<std::size_t>(advise(*report.tensors[tensor].magnitudes, *report.tensors[tensor].moments)[i].verdict)][0];
    EXPECT_EQ(verdicts[i], counts);
  }
}

TEST(Report, AdviceIsOnlyOfWhatHasAFiniteElement) {
  ModelReport report;
  report.tensors = {sampled("nan.weight", kParameterGroup, {kNanFloat, kNanFloat}), sampled("none.weight", kParameterGroup, {}),
                    sampled("fine.weight", kParameterGroup, {1, 2})};
  const auto rows = cells_of(page_of(report).with_id("precision"));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0][0], "fine.weight");
  const std::string text = advice_text({&report.tensors[0], &report.tensors[1], &report.tensors[2]}, OutputPlace());
  EXPECT_EQ(text.find("nan.weight"), std::string::npos);
  EXPECT_EQ(text.find("none.weight"), std::string::npos);
  EXPECT_NE(text.find("fine.weight"), std::string::npos);
}

TEST(Report, AdviceShowsTheLargerLossAndNoneInTheTypeOfTheTensor) {
  ModelReport report;
  const std::vector<float> subnormal(1000, 0x1p-20F);
  report.tensors = {sampled("a", kParameterGroup, subnormal), sampled("b", kParameterGroup, subnormal)};
  report.tensors[1].dtype = "float16";
  const Element page = page_of(report);
  const std::vector<Element>& rows = page.with_id("precision").all("tbody").back()->children;
  const Element &as_float32 = rows.at(0).children.at(2), &as_float16 = rows.at(1).children.at(2);
  EXPECT_EQ(as_float32.attribute("class"), "h4");
  EXPECT_EQ(as_float32.text.rfind("100 %", 0), 0U) << as_float32.text;
  EXPECT_EQ(as_float16.attribute("class"), "h0");
  EXPECT_EQ(as_float16.text, "0 safe");
  EXPECT_NE(advice_text({&report.tensors[1]}, OutputPlace()).find("safe"), std::string::npos);
}

TEST(Report, WhatWasNotSeenHasADash) {
  ModelReport report;
  report.tensors.resize(1);
  report.tensors[0].name = "a";
  report.tensors[0].group = kParameterGroup;
  report.tensors[0].elements = 12;
  report.tensors[0].problem = "not sampled yet";
  EXPECT_EQ(cells_of(page_of(report).with_id("overview")).at(0), (std::vector<std::string>{"Parameters", "1", "12", "–", "–", "–", "–"}));
}

TEST(Report, InfinitiesThatAreMeantAreNotRed) {
  ModelReport report;
  report.tensors = {sampled("mask", kActivationGroup, {1, -kInfFloat})};
  const auto red = [&] {
    std::size_t cells = 0;
    const Element page = page_of(report);
    for (const Element* const cell : page.all("td")) cells += cell->attribute("class") == "bad" ? 1 : 0;
    return cells;
  };
  EXPECT_EQ(red(), 2U);
  report.tensors[0].meant_infinite = 1;
  EXPECT_EQ(red(), 0U);
}

TEST(Report, CutsByPairsAndCountsVerdictsOfAll) {
  ModelReport report;
  for (const char* const name : {"a", "b", "c"}) report.tensors.push_back(sampled(name, kParameterGroup, {1, 2, 3}));
  for (const char* const name : {"a", "b", "c"}) report.tensors.push_back(sampled(name, kGradientGroup, {1, 2, 3}));
  ReportLimits limits;
  limits.rows = 5;
  const Element page = page_of(report, limits);
  const auto rows = cells_of(page.with_id("group-0"));
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0][0], "a");
  EXPECT_EQ(rows[2][0], "b");
  EXPECT_EQ(page.text.find("not sampled"), std::string::npos);
  EXPECT_EQ(cells_of(*page.with_id("precision").all("div").at(0)).at(0).at(1), "6");
}

TEST(Report, PicturesOfTheLargestDoublesHaveNoNan) {
  std::vector<double> values(20);  // so few that eight bandwidths are beyond a double as well
  std::mt19937 random(12);
  std::uniform_real_distribution<double> uniform(-8e307, 8e307);
  for (double& value : values) value = uniform(random);
  const std::string html = report_html(report_of({memory_tensor("w", ElementType::float64, values)}));
  for (std::size_t at = html.find(" d=\""); at != std::string::npos; at = html.find(" d=\"", at + 1)) {
    const std::string path = html.substr(at, html.find('"', at + 4) - at);
    EXPECT_EQ(path.find("nan"), std::string::npos);
    EXPECT_EQ(path.find("inf"), std::string::npos);
  }
}

TEST(Report, AdviceOnMomentsThatCannotBeEnds) {
  // As a damaged ring may have them.
  Moments moments;
  moments.count = 10;
  MagnitudeHistogram magnitudes;
  magnitudes.overflow = 10;
  for (const double largest : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    moments.max = largest;
    for (const FormatAdvice& one : advise(magnitudes, moments)) EXPECT_NE(one.verdict, FormatVerdict::safe_scaled);
  }
}

TEST(Report, CutsWhatIsTooMuchAndSaysSo) {
  std::vector<ModelTensor> tensors;
  for (int i = 0; i < 40; ++i) tensors.push_back(weight("t" + std::to_string(i), normal_numbers(static_cast<std::size_t>(10 + i), 1, 9)));
  ModelReport report = report_of(tensors);
  report.findings.emplace();
  for (int i = 0; i < 20; ++i) report.findings->push_back({i == 15, "t", "finding " + std::to_string(i)});
  ReportLimits limits;
  limits.rows = 30;
  limits.pictures = 5;
  limits.findings = 4;
  const Element page = page_of(report, limits);
  const auto rows = cells_of(page.with_id("group-0"));
  ASSERT_EQ(rows.size(), 30U);
  EXPECT_EQ(rows.front()[0], "t10");  // the largest, in their order
  EXPECT_EQ(page.with_id("group-0").all("svg").size(), 10U);
  EXPECT_NE(page.text.find("10 of 40 tensors, the smallest, have no row below."), std::string::npos);
  EXPECT_NE(page.text.find("Only the 5 largest tensors have pictures."), std::string::npos);
  EXPECT_EQ(cells_of(page.with_id("overview")).at(0).at(1), "40");
  const Element& findings = page.with_id("findings");
  EXPECT_EQ(findings.all("li").size(), 4U);
  EXPECT_NE(findings.all("li").at(0)->text.find("finding 15"), std::string::npos);  // faults first
  EXPECT_NE(findings.text.find("16 more are not shown."), std::string::npos);
}

TEST(Report, IsBoundedHoweverManyTensorsThereAre) {
  // As wide as a picture gets: 64 bins, a density, and both signs of every exponent.
  std::vector<float> values = normal_numbers(3000, 1, 10);
  for (int exponent = -126; exponent < 127; ++exponent) {
    values.push_back(std::ldexp(1.5F, exponent));
    values.push_back(-std::ldexp(1.5F, exponent));
  }
  const std::vector<ReportTensor> one = report_tensors({weight("encoder.layers.0.self_attention.in_projection.weight", values)}, "");
  ModelReport report;
  report.tensors.assign(20'000, one.front());
  report.whole = one.front().distribution;
  const std::size_t bytes = report_html(report).size();
  EXPECT_LT(bytes, 10'000'000U);
  RecordProperty("bytes", static_cast<int>(bytes));
}

TEST(DistributionText, DrawsBarsBySquareRoots) {
  // Of 16 steps: sqrt(1/16) is 4, sqrt(4/16) is 8, 16/16 is 16.
  EXPECT_EQ(histogram_lines({1, 0, 4, 16}, 10, 2), (std::vector<std::string>{"   █", "▄ ██"}));
  EXPECT_EQ(histogram_lines({1, 0, 4, 12}, 2, 1), (std::vector<std::string>{"▂█"}));  // joined: 1 and 16
  EXPECT_EQ(histogram_lines({1'000'000'000, 1}, 2, 1), (std::vector<std::string>{"█▁"}));
  EXPECT_TRUE(histogram_lines({}, 10, 1).empty());
  EXPECT_TRUE(histogram_lines({1}, 0, 1).empty());
}

TEST(DistributionText, HasTheFiguresAndFitsTheTerminal) {
  const std::vector<ReportTensor> tensors =
      report_tensors({weight("a\x1b[31m.weight", {1, 2, 3, 4, kNanFloat}), weight("dead.weight", {0, 0, 0}),
                      weight("b.weight", normal_numbers(3000, 1, 11))},
                     "");
  std::vector<const ReportTensor*> rows;
  for (const ReportTensor& tensor : tensors) rows.push_back(&tensor);
  OutputPlace place;
  const std::string wide = distribution_text(rows, place);
  EXPECT_EQ(wide.find('\x1b'), std::string::npos);
  EXPECT_NE(wide.find("1 NaN"), std::string::npos);
  EXPECT_NE(wide.find("all zero"), std::string::npos);
  // Of 1, 2, 3, 4: deviation sqrt(5/4), skewness 0, kurtosis 41/16 / (25/16).
  EXPECT_NE(wide.find("2.5  1.118         0      1.64"), std::string::npos) << wide;
  for (const std::size_t columns : {40, 80, 120}) {
    place.columns = columns;
    std::istringstream lines(distribution_text(rows, place) + distribution_text("b", *tensors[2].distribution, place) +
                             samples_text(rows, place) + advice_text(rows, place));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(columns_of(line), columns) << line;
  }
}

}  // namespace
}  // namespace vigil
