#include "vigil/history/step_columns.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "daemon/history_run.h"

namespace vigil {
namespace {

using test::made_scalar_names;
using test::MadeStep;

StepRows make_rows(std::uint64_t seed, std::uint64_t first, std::uint64_t last) {
  StepRows rows(2);
  for (std::uint64_t step = first; step <= last; ++step) {
    const MadeStep made = test::make_step(seed, step);
    rows.add(made.record, made.scalars.data(), made.scalars.data() + 2, made_scalar_names().size());
  }
  return rows;
}

void expect_same(const StepRows& rows, std::uint64_t seed, std::uint64_t first) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const MadeStep made = test::make_step(seed, first + i);
    EXPECT_TRUE(test::is_same(rows.record(i), made.record)) << made.record.step;
    for (std::size_t k = 0; k < 2; ++k) EXPECT_TRUE(test::is_same(rows.rate(i, k), made.scalars[k])) << made.record.step;
    for (std::size_t k = 0; k < made.record.user_scalars; ++k)
      EXPECT_TRUE(test::is_same(rows.scalar(i, k), made.scalars[2 + k])) << made.record.step;
  }
}

TEST(StepColumns, EveryWordOfARecordIsOneColumnWithANumberOfItsOwn) {
  std::set<std::size_t> numbers, words;
  std::set<std::string_view> series;
  std::size_t named = 0;
  for (const StepColumn& column : step_columns()) {
    numbers.insert(column.number);
    words.insert(column.word);
    EXPECT_LT(column.number, kFirstScalarColumn);
    EXPECT_LT(column.word, kStepWords);
    if (column.series.empty()) continue;
    series.insert(column.series);
    ++named;
    EXPECT_EQ(find_step_column(column.series), &column);
  }
  EXPECT_EQ(numbers.size(), kStepWords);
  EXPECT_EQ(words.size(), kStepWords);
  EXPECT_EQ(series.size(), named);
  EXPECT_EQ(find_step_column(""), nullptr);
  EXPECT_EQ(find_step_column("los"), nullptr);
}

TEST(StepColumns, NumbersThatStandInDatabasesStayWhatTheyAre) {
  const auto number = [](const char* name) { return find_step_column(name)->number; };
  EXPECT_EQ(number("loss"), 3);
  EXPECT_EQ(number("gradient_norm"), 4);
  EXPECT_EQ(number("step_seconds"), 9);
  EXPECT_EQ(number("examples_total"), 26);
  EXPECT_EQ(kFirstScalarColumn, 128u);
  EXPECT_EQ(kFirstRateColumn, 256u);
}

TEST(StepColumns, RowsComeBackBitByBit) {
  for (const std::uint64_t last : {5u, 12u, 260u}) {
    const StepRows rows = make_rows(last, 1, last);
    const StepRows back = StepRows::read(rows.pack(), last, 2);
    ASSERT_EQ(back.size(), last);
    expect_same(back, last, 1);
  }
}

TEST(StepColumns, ABlockComesBackBitByBit) {
  StepRows rows = make_rows(1, 4, 300);
  const StepBlock block = make_block(rows, kBlockSteps);
  EXPECT_EQ(block.first_step, 4u);
  EXPECT_EQ(block.last_step, 4 + kBlockSteps - 1);
  const StepRows back = StepRows::read(block.axis, block.data, block.steps, 2);
  ASSERT_EQ(back.size(), kBlockSteps);
  expect_same(back, 1, 4);
}

TEST(StepColumns, ScalarsThatAreZeroInAllRowsAreStillThere) {
  StepRows rows(0);
  StepRecord record;
  record.step = 1;
  record.user_scalars = 2;
  const double scalars[] = {3.0, 0.0};
  rows.add(record, nullptr, scalars, 2);
  const StepRows back = StepRows::read(rows.pack(), 1, 0);
  EXPECT_EQ(back.record(0).user_scalars, 2u);
  EXPECT_EQ(back.scalars(), 2u);
  EXPECT_EQ(back.scalar(0, 0), 3.0);
  EXPECT_EQ(back.scalar(0, 1), 0.0);
}

TEST(StepColumns, OtherScalarsTakeThePlaceOfTheLastRowsOnly) {
  StepRows rows = make_rows(2, 5, 8);
  MadeStep made = test::make_step(9, 20);
  made.record.loss = 123;
  rows.set_scalars(made.record, made.scalars.data(), made.scalars.data() + 2, 3);
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows.step(3), 8u);
  EXPECT_NE(rows.record(3).loss, 123);
  EXPECT_EQ(rows.record(3).user_scalars, 3u);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_TRUE(test::is_same(rows.scalar(3, k), made.scalars[2 + k]));
  EXPECT_EQ(rows.record(2).user_scalars, 0u);
  rows.truncate(3);
  expect_same(rows, 2, 5);
}

TEST(StepColumns, SummariesAreThoseOfAllValues) {
  const StepRows rows = make_rows(6, 1, kBlockSteps);
  const StepBlock block = make_block(rows, kBlockSteps);
  std::size_t nonfinite_steps = 0, columns = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) nonfinite_steps += rows.record(i).has(StepRecord::nonfinite);
  EXPECT_EQ(block.nonfinite, nonfinite_steps);
  for (const ColumnSummary& summary : read_summaries(block.summary, kBlockSteps)) {
    if (summary.number >= kFirstScalarColumn) continue;
    ++columns;
    const StepColumn* column = nullptr;
    for (const StepColumn& candidate : step_columns()) column = candidate.number == summary.number ? &candidate : column;
    ASSERT_NE(column, nullptr);
    double smallest = INFINITY, largest = -INFINITY;
    std::size_t nonfinite = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!has_value(*column, rows.record(i).flags)) continue;
      const double value = value_of(*column, rows.row(i)[column->word]);
      if (!std::isfinite(value)) ++nonfinite;
      if (!std::isfinite(value)) continue;
      smallest = std::min(smallest, value);
      largest = std::max(largest, value);
    }
    EXPECT_EQ(summary.nonfinite, nonfinite) << column->series;
    EXPECT_EQ(value_of(*column, summary.words[ColumnSummary::smallest]), smallest) << column->series;
    EXPECT_EQ(value_of(*column, summary.words[ColumnSummary::largest]), largest) << column->series;
    for (const auto which : {ColumnSummary::first, ColumnSummary::smallest, ColumnSummary::largest, ColumnSummary::last})
      EXPECT_EQ(summary.words[which], rows.row(summary.places[which])[column->word]) << column->series;
  }
  EXPECT_EQ(columns, 18u) << "as many series as records make";
}

}  // namespace
}  // namespace vigil
