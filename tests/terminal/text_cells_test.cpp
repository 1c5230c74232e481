// Texts, numbers, tables and charts of a terminal.
#include "vigil/terminal/text_cells.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "vigil/terminal/line_chart.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_style.h"

namespace vigil::tools {
namespace {

TEST(TextCells, CharactersThatATerminalActsOnOrThatHideOthersBecomeQuestionMarks) {
  EXPECT_EQ(printable("plain, réseau, 層, 😀"), "plain, réseau, 層, 😀");
  EXPECT_EQ(printable("\x1b[2J\x07\n\t\x7f"), "?[2J????");
  EXPECT_EQ(printable("a\xc2\x9b"
                      "31mb\xc2\x85"),
            "a?31mb?")
      << "controls of Latin-1";
  EXPECT_EQ(printable("\xe2\x80\xae"
                      "gpj\xe2\x80\x8b\xef\xbb\xbf\xe2\x81\xa6"),
            "?gpj???")
      << "directions and what has no width";
  EXPECT_EQ(printable("e\xcc\x81"), "e?") << "marks upon others";
  EXPECT_EQ(printable("\xff\xc0\xaf\xed\xa0\x80"), "??????") << "no UTF-8";
  EXPECT_EQ(printable(std::string("\0x", 2)), "?x");
}

TEST(TextCells, JsonKeepsTheirMeaning) {
  EXPECT_EQ(printable_json("{\"a\":\"\xc2\x9b\xe2\x80\xae\x7f é\"}"), "{\"a\":\"\\u009b\\u202e\\u007f é\"}");
  EXPECT_EQ(printable_json("{\n\"a\": 1}"), "{\n\"a\": 1}");
}

TEST(TextCells, ColumnsAreThoseOfATerminal) {
  EXPECT_EQ(columns_of("abc"), 3u);
  EXPECT_EQ(columns_of("é▁×"), 3u);
  EXPECT_EQ(columns_of("層😀"), 4u);
  EXPECT_EQ(clipped("abcdef", 4), "abc…");
  EXPECT_EQ(clipped("abcd", 4), "abcd");
  EXPECT_EQ(clipped("層層層", 4), "層…") << "no half of a wide one";
  EXPECT_EQ(clipped("abc", 0), "");
  EXPECT_EQ(padded("層", 4), "層  ");
  EXPECT_EQ(right_aligned("é", 3), "  é");
  EXPECT_EQ(wrapped("one two three", 8), (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(wrapped("abcdefgh i", 4), (std::vector<std::string>{"abcd", "efgh", "i"}));
  EXPECT_EQ(wrapped("", 4), std::vector<std::string>{""});
}

TEST(TextCells, NumbersAreShort) {
  EXPECT_EQ(short_number(0.042133), "0.04213");
  EXPECT_EQ(short_number(12800), "12800");
  EXPECT_EQ(percent_text(0), "0 %");
  EXPECT_EQ(percent_text(1e-9), "<0.01 %");
  EXPECT_EQ(percent_text(0.12341), "12.34 %");
  EXPECT_EQ(percent_text(0.99998), ">99.99 %");
  EXPECT_EQ(percent_text(1), "100 %");
  EXPECT_EQ(short_number(1e-9), "1e-09");
  EXPECT_EQ(short_number(std::nan("")), "NaN");
  EXPECT_EQ(short_number(-HUGE_VAL), "-Inf");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(std::numeric_limits<std::uint64_t>::max()), "18,446,744,073,709,551,615");
  EXPECT_EQ(seconds_text(0.0000123), "12 µs");
  EXPECT_EQ(seconds_text(0.0123), "12.3 ms");
  EXPECT_EQ(seconds_text(61), "61 s");
  EXPECT_EQ(seconds_text(3600 * 5), "5 h");
  EXPECT_EQ(seconds_text(-1), "-");
  EXPECT_EQ(bytes_text(17 << 20), "17.0 MiB");
}

TEST(TextCells, ATableClipsThenDropsColumnsToFit) {
  const std::vector<TableColumn> heads{{"NAME"}, {"COUNT", true, 2}, {"WHY", false, 0, 5}, {"FILE", false, 9}};
  const std::vector<TableRow> rows{{{"a", "12", "because of it", "/a/long/path"}}, {{"bcd", "3", "", "/b"}}};
  OutputPlace place;
  EXPECT_EQ(table_text(heads, rows, place),
            "NAME  COUNT  WHY            FILE\na        12  because of it  /a/long/path\nbcd       3                 /b\n");
  place.columns = 26;
  EXPECT_EQ(table_text(heads, rows, place), "NAME  COUNT  WHY\na        12  because of it\nbcd       3\n");
  place.columns = 20;
  EXPECT_EQ(table_text(heads, rows, place), "NAME  COUNT  WHY\na        12  becaus…\nbcd       3\n");
  place.columns = 12;
  EXPECT_EQ(table_text(heads, rows, place), "NAME  WHY\na     becau…\nbcd\n");
}

TEST(LineChart, GoesFromTheSmallestToTheLargestAndMarksWhatIsNotFinite) {
  EXPECT_EQ(line_chart({0, 1, 2, 3, 4, 5, 6, 7}, 8, 1, false), std::vector<std::string>{"▁▂▃▄▅▆▇█"});
  EXPECT_EQ(line_chart({0, std::nan(""), 7, HUGE_VAL}, 8, 1, false), std::vector<std::string>{"▁×█×"});
  EXPECT_EQ(line_chart({}, 8, 2, false), (std::vector<std::string>{"", ""}));
  EXPECT_EQ(line_chart({3, 3, 3}, 8, 1, false), std::vector<std::string>{"▅▅▅"}) << "all the same";
  EXPECT_EQ(line_chart({0, 15}, 2, 2, false), (std::vector<std::string>{" █", "▁█"}));
}

TEST(LineChart, AColumnOfManyStepsHidesNoNanAmongThem) {
  std::vector<double> values(1000, 1.0);
  values[501] = std::nan("");
  const std::string line = line_chart(values, 10, 1, false).front();
  EXPECT_EQ(columns_of(line), 10u);
  EXPECT_EQ(line.find("×"), line.rfind("×"));
  EXPECT_NE(line.find("×"), std::string::npos);
}

TEST(LineChart, OneSpikeDoesNotPressTheRestFlat) {
  std::vector<double> values;
  for (int i = 0; i < 60; ++i) values.push_back(1.0 + i % 8);
  values[30] = 1e6;
  const std::string line = line_chart(values, 60, 1, false).front();
  EXPECT_NE(line.find("▲"), std::string::npos) << line;
  EXPECT_NE(line.find("▁"), std::string::npos) << line;
  EXPECT_NE(line.find("▅"), std::string::npos) << line;
}

TEST(LineChart, TakesValuesAtTheEndsOfTheRange) {
  const double huge = std::numeric_limits<double>::max();
  EXPECT_EQ(columns_of(line_chart({-huge, 0, huge}, 3, 1, false).front()), 3u);
  EXPECT_EQ(columns_of(line_chart({5e-324, 1, huge}, 3, 1, false).front()), 3u);
}

TEST(ScreenLine, NeverGetsWiderThanItsColumns) {
  ScreenLine line(10, true);
  line.add("abc", Style::red).to(6).add("層層層層");
  EXPECT_EQ(line.left(), 0u + (10 - 6 - 3 > 0 ? 1u : 0u)) << line.text();
  EXPECT_EQ(line.text(), "\x1b[1;31mabc\x1b[0m   層…");
  EXPECT_EQ(ScreenLine(5, false).add("abcdefgh").add("x").text(), "abcd…");
}

}  // namespace
}  // namespace vigil::tools
