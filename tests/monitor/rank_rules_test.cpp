// Rules over ranks, against a reference that knows every record at once and computes in long double; and that nothing is allocated.
#include "vigil/monitor/rules/rank_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace {

thread_local std::size_t allocations = 0;

void* counted_allocation(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(std::max<std::size_t>(size, 1))) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return counted_allocation(size); }
void* operator new[](std::size_t size) { return counted_allocation(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace vigil {
namespace {

constexpr std::size_t kStraggler = static_cast<std::size_t>(Rule::straggler_rank),
                      kDivergence = static_cast<std::size_t>(Rule::rank_divergence);

std::array<RuleSetup, kRuleCount> rules(double difference, double ratio, std::uint64_t for_steps = 0) {
  std::array<RuleSetup, kRuleCount> made{};
  made[kDivergence].parameters[0] = difference;
  made[kStraggler].parameters[0] = ratio;
  made[kStraggler].for_steps = for_steps;
  return made;
}

// Every step sampled, unless `samples` stays.
StepRecord record_of(std::uint64_t step, double norm, std::uint64_t outside_ns = 10'000'000, std::uint64_t total_ns = 100'000'000) {
  StepRecord record;
  record.step = step;
  record.wall_time_ns = static_cast<std::int64_t>(step % 1'000'000) * 100'000'000;
  record.flags = StepRecord::has_parameter_norm | StepRecord::has_total_time;
  record.parameter_norm = norm;
  record.total_ns = total_ns;
  record.forward_backward_ns = total_ns - outside_ns;
  record.totals.samples = step;
  return record;
}

struct Seen {
  std::size_t rule;
  AlertState state;
  std::uint64_t step;
  double value;
  std::string sentence, subject;
};

class Ranks : public testing::Test {
 protected:
  void make(const std::vector<int>& numbers, const std::array<RuleSetup, kRuleCount>& setup) {
    judge.emplace(numbers, setup);
    judge->set_on_alert([this](const Alert& alert) {
      seen.push_back(
          {alert.rule, alert.state, alert.step, alert.value, std::string(alert.sentence.view()), std::string(alert.subject.view())});
    });
  }
  std::vector<Seen> of(std::size_t rule) const {
    std::vector<Seen> some;
    std::copy_if(seen.begin(), seen.end(), std::back_inserter(some), [rule](const Seen& one) { return one.rule == rule; });
    return some;
  }

  std::optional<RankRules> judge;
  std::vector<Seen> seen;
};

long double median(std::vector<long double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

TEST_F(Ranks, DivergenceIsTheRelativeDifferenceOfTheOutermostNorms) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> width(0, 2e-4);
  constexpr double kLimit = 1e-4;
  make({0, 1, 2, 3}, rules(kLimit, 0));
  bool fires = false;
  std::size_t expected = 0;
  for (std::uint64_t step = 1; step <= 500; ++step) {
    std::vector<double> norms;
    for (int rank = 0; rank < 4; ++rank) norms.push_back(7 * (1 + width(random)));
    const auto [low, high] = std::minmax_element(norms.begin(), norms.end());
    const long double difference = (static_cast<long double>(*high) - *low) / *high;
    for (std::size_t rank = 0; rank < 4; ++rank) judge->on_step(rank, record_of(step, norms[rank]));
    if ((difference > kLimit) == fires) continue;
    fires = !fires;
    ++expected;
    ASSERT_EQ(seen.size(), expected) << "step " << step << ", difference " << static_cast<double>(difference);
    EXPECT_EQ(seen.back().step, step);
    EXPECT_EQ(seen.back().state, fires ? AlertState::firing : AlertState::resolved);
    if (!fires) continue;
    EXPECT_NEAR(seen.back().value, static_cast<double>(difference), 1e-15);
    const std::string names = "on rank " + std::to_string(low - norms.begin()) + " and ";
    EXPECT_NE(seen.back().sentence.find(names), std::string::npos) << seen.back().sentence;
  }
  EXPECT_EQ(seen.size(), expected);
  EXPECT_GT(expected, 100u);
}

TEST_F(Ranks, NormsAreComparedOnlyWhereEveryRankHasJustSampled) {
  make({0, 1}, rules(1e-4, 0));
  StepRecord sampled = record_of(1, 1), kept = sampled;
  judge->on_step(0, sampled);
  judge->on_step(1, kept);
  // Rank 0 alone samples a step more, after its weights have moved; rank 1 still carries the norm of before.
  sampled = record_of(2, 2);
  kept = record_of(2, 1);
  kept.totals.samples = 1;
  judge->on_step(0, sampled);
  judge->on_step(1, kept);
  EXPECT_TRUE(seen.empty());
  sampled = record_of(3, 2);
  judge->on_step(0, sampled);
  judge->on_step(1, record_of(3, 1));
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].value, 0.5);
}

TEST_F(Ranks, NormsThatAreNotFiniteAreAnotherRules) {
  make({0, 1}, rules(1e-4, 0));
  judge->on_step(0, record_of(1, std::numeric_limits<double>::quiet_NaN()));
  judge->on_step(1, record_of(1, 1));
  judge->on_step(0, record_of(2, std::numeric_limits<double>::infinity()));
  judge->on_step(1, record_of(2, -1));
  judge->on_step(0, record_of(3, 0));
  judge->on_step(1, record_of(3, 0));
  EXPECT_TRUE(seen.empty());
}

TEST_F(Ranks, AStragglerIsToldByItsMedianOver128StepsAgainstThatOfTheMedianRank) {
  std::mt19937 random(5);
  std::lognormal_distribution<double> noise(0, 0.4);
  constexpr double kRatio = 0.75;
  make({4, 5, 6, 7, 8}, rules(1, kRatio));
  std::vector<std::vector<long double>> outside(5);
  std::map<std::size_t, bool> fires;
  std::size_t expected = 0;
  for (std::uint64_t step = 1; step <= 1500; ++step) {
    std::vector<std::uint64_t> ns;
    for (std::size_t rank = 0; rank < 5; ++rank) {
      const double slow = rank == 2 ? 1 + 0.6 * std::sin(static_cast<double>(step) / 150) : rank == 4 && step > 700 ? 1.6 : 1;
      ns.push_back(static_cast<std::uint64_t>(2e7 * slow * noise(random)));
      outside[rank].push_back(static_cast<long double>(ns.back()) * 1e-9L);
      judge->on_step(rank, record_of(step, 1, ns.back(), 200'000'000));
    }
    if (step < 128) continue;
    std::vector<long double> medians;
    for (const auto& values : outside) medians.push_back(median({values.end() - 128, values.end()}));
    for (std::size_t rank = 0; rank < 5; ++rank) {
      const long double ratio = median(medians) / medians[rank];
      const bool is_behind = ratio < kRatio && medians[rank] - median(medians) > 0.05L * 0.2L;
      if (is_behind == fires[rank]) continue;
      fires[rank] = is_behind;
      ++expected;
      const auto told = std::find_if(seen.begin(), seen.end(), [&](const Seen& one) {
        return one.step == step && one.state == (is_behind ? AlertState::firing : AlertState::resolved) &&
               one.sentence.find("rank " + std::to_string(4 + rank) + " spends ") == 0 && one.subject == "rank " + std::to_string(4 + rank);
      });
      ASSERT_NE(told, seen.end()) << "rank " << 4 + rank << " at step " << step << ", " << is_behind;
      if (is_behind) {
        EXPECT_NEAR(told->value, static_cast<double>(ratio), 1e-12);
      }
    }
  }
  EXPECT_EQ(of(kStraggler).size(), expected);
  EXPECT_GE(expected, 3u);
}

TEST_F(Ranks, WhatNobodyWaitsForIsNoStraggler) {
  make({0, 1}, rules(1, 0.75));
  for (std::uint64_t step = 1; step <= 400; ++step) {  // ten times as long, and still 2 % of the step
    judge->on_step(0, record_of(step, 1, 200'000));
    judge->on_step(1, record_of(step, 1, 2'000'000));
  }
  EXPECT_TRUE(seen.empty());
}

TEST_F(Ranks, TheOrderInWhichRanksTellDoesNotMatterWithinTheWindow) {
  const auto tell = [this](std::size_t ahead) {
    seen.clear();
    make({0, 1}, rules(1e-4, 0.75, 50));
    const auto of_rank = [](std::size_t rank, std::uint64_t step) {
      return record_of(step, rank == 1 && step >= 600 ? 1.1 : 1, rank == 1 ? 60'000'000 : 10'000'000);
    };
    for (std::uint64_t step = 1; step <= 1000 + ahead; ++step) {
      if (step <= 1000) judge->on_step(0, of_rank(0, step));
      if (step > ahead) judge->on_step(1, of_rank(1, step - ahead));
    }
    std::vector<std::string> told;
    for (const Seen& one : seen) told.push_back(std::to_string(one.step) + ": " + one.sentence);
    return told;
  };
  const std::vector<std::string> in_step = tell(0);
  ASSERT_EQ(in_step.size(), 2u);
  EXPECT_EQ(tell(1), in_step);
  EXPECT_EQ(tell(RankRules::kSteps - 1), in_step);
}

TEST_F(Ranks, ARankThatLagsBehindTheWindowOrEndsHoldsNobodyUp) {
  make({0, 1, 2}, rules(1e-4, 0));
  for (std::uint64_t step = 1; step <= 1000; ++step) {
    judge->on_step(0, record_of(step, 1));
    judge->on_step(1, record_of(step, step >= 500 ? 2 : 1));  // rank 2 is silent
  }
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].step, 500u);
  judge->on_step(2, record_of(3, 9));  // long judged
  EXPECT_EQ(seen.size(), 1u);
  seen.clear();
  make({0, 1, 2}, rules(1e-4, 0));
  judge->on_end(2);
  judge->on_step(0, record_of(1, 1));
  judge->on_step(1, record_of(1, 2));
  EXPECT_EQ(seen.size(), 1u);
}

TEST_F(Ranks, StepsThatLieFarApartAreNoMoreWork) {
  make({0, 1}, rules(1e-4, 0));
  for (const std::uint64_t step : {std::uint64_t{1}, std::uint64_t{5}, std::uint64_t{1} << 40, std::uint64_t{1} << 61}) {
    judge->on_step(0, record_of(step, 1));
    judge->on_step(1, record_of(step, 1 + static_cast<double>(step)));
  }
  judge->on_end(0);
  judge->on_end(1);
  EXPECT_EQ(seen.size(), 1u);
}

TEST_F(Ranks, NothingIsAllocatedAfterConstruction) {
  judge.emplace(std::vector<int>{0, 1, 2, 3}, rules(1e-4, 0.75));
  std::size_t told = 0;
  judge->set_on_alert([&told](const Alert&) { ++told; });
  const std::size_t before = allocations;
  for (std::uint64_t step = 1; step <= 2000; ++step) {
    for (std::size_t rank = 0; rank < 4; ++rank)
      judge->on_step(rank, record_of(step, step % 300 > 100 ? 1 + static_cast<double>(rank) : 1,
                                     rank == 3 && step % 600 > 200 ? 50'000'000 : 10'000'000));
  }
  EXPECT_EQ(allocations, before);
  EXPECT_GT(told, 10u);
}

}  // namespace
}  // namespace vigil
