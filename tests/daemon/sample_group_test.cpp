// Moments of a run's series: their times rise, whatever the records say, and what ends is said to end.
#include "vigil/daemon/sample_group.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "vigil/daemon/write_request.h"

namespace vigil {
namespace {

using Absence = SampleGroup::Absence;
using Value = SampleGroup::Value;
using Samples = std::vector<std::pair<std::int64_t, double>>;

constexpr double kStale = -12345;  // stands for the marker in what follows

class Group : public testing::Test {
 protected:
  void make(std::int64_t after_ms = SampleProgress::kNone, std::int64_t resolution_ms = 1) {
    group_ = std::make_unique<SampleGroup>(owner_, progress_, after_ms, resolution_ms, losses_, [this](const SampleBlock& block) {
      EXPECT_EQ(block.progress, progress_);
      EXPECT_EQ(block.owner, owner_);
      EXPECT_FALSE(block.values.empty());
      std::set<std::string> names;
      for (const SampleBlock::Value& value : block.values) {
        EXPECT_TRUE(names.insert(*value.labels).second) << *value.labels << " twice at " << block.timestamp_ms;
        double number = kStale;
        if (value.bits != kStaleBits) std::memcpy(&number, &value.bits, sizeof number);
        sent_[*value.labels].emplace_back(block.timestamp_ms, number);
      }
    });
    a_ = group_->add_series("a", Absence::keeps);
    b_ = group_->add_series("b", Absence::ends);
  }

  const std::shared_ptr<std::deque<std::string>> owner_ = std::make_shared<std::deque<std::string>>();
  const std::shared_ptr<SampleProgress> progress_ = std::make_shared<SampleProgress>();
  const std::shared_ptr<SampleLosses> losses_ = std::make_shared<SampleLosses>();
  std::unique_ptr<SampleGroup> group_;
  std::size_t a_ = 0, b_ = 0;
  std::map<std::string, Samples> sent_;
};

TEST_F(Group, HoldsTheLatestMomentBackUntilItIsOver) {
  make();
  EXPECT_TRUE(group_->put(10, {{a_, 1}, {b_, 2}}));
  EXPECT_TRUE(sent_.empty());
  group_->release_before(10);
  EXPECT_TRUE(sent_.empty()) << "another record may come within this millisecond";
  group_->release_before(11);
  EXPECT_EQ(sent_["a"], (Samples{{10, 1}}));
  EXPECT_TRUE(group_->put(20, {{a_, 3}, {b_, 4}}));
  EXPECT_TRUE(group_->put(21, {{a_, 5}, {b_, 6}}));
  EXPECT_EQ(sent_["a"], (Samples{{10, 1}, {20, 3}}));
  EXPECT_EQ(sent_["b"], (Samples{{10, 2}, {20, 4}}));
}

TEST_F(Group, OfSeveralInOneMillisecondTheLastIsKeptAndTheOthersAreCounted) {
  make();
  for (double value = 1; value <= 5; ++value) EXPECT_TRUE(group_->put(10, {{a_, value}, {b_, -value}}));
  group_->put(11, {{a_, 6}, {b_, -6}});
  group_->release_before(12);
  EXPECT_EQ(sent_["a"], (Samples{{10, 5}, {11, 6}}));
  EXPECT_EQ(sent_["b"], (Samples{{10, -5}, {11, -6}}));
  EXPECT_EQ(losses_->replaced, 8u);
  EXPECT_EQ(losses_->out_of_order, 0u);
}

TEST_F(Group, WhatOnlyAnEarlierRecordOfTheMillisecondHadIsSentToo) {
  make();
  const std::size_t c = group_->add_series("c", Absence::keeps);
  group_->put(10, {{a_, 1}, {b_, 2}, {c, 3}});
  group_->put(10, {{a_, 4}, {b_, 5}});
  group_->release_before(11);
  EXPECT_EQ(sent_["c"], (Samples{{10, 3}}));
  EXPECT_EQ(sent_["a"], (Samples{{10, 4}}));
}

TEST_F(Group, ACoarserResolutionKeepsTheLastOfEachSpanWithItsOwnTime) {
  make(SampleProgress::kNone, 100);
  for (std::int64_t time = 1000; time < 1500; time += 7) group_->put(time, {{a_, static_cast<double>(time)}});
  group_->release_before(1499);
  EXPECT_EQ(sent_["a"].size(), 4u) << "the last span is not over";
  group_->release_before(1500);
  Samples expected;
  std::map<std::int64_t, std::int64_t> last;
  for (std::int64_t time = 1000; time < 1500; time += 7) last[time / 100] = time;
  for (const auto& [span, time] : last) expected.emplace_back(time, static_cast<double>(time));
  EXPECT_EQ(sent_["a"], expected);
}

TEST_F(Group, AClockThatIsSetBackCostsSamplesAndIsCounted) {
  make();
  EXPECT_TRUE(group_->put(100, {{a_, 1}, {b_, 1}}));
  EXPECT_FALSE(group_->put(99, {{a_, 2}, {b_, 2}}));
  group_->release_before(101);
  EXPECT_FALSE(group_->put(100, {{a_, 3}, {b_, 3}})) << "sent already";
  EXPECT_FALSE(group_->put(50, {{a_, 4}, {b_, 4}}));
  EXPECT_TRUE(group_->put(101, {{a_, 5}, {b_, 5}}));
  group_->release_before(102);
  EXPECT_EQ(sent_["a"], (Samples{{100, 1}, {101, 5}}));
  EXPECT_EQ(losses_->out_of_order, 6u);
}

TEST_F(Group, ASeriesThatHasEndedIsSaidToEndOnceAndMayComeBack) {
  make();
  group_->put(1, {{a_, 1}, {b_, 1}});
  group_->put(2, {{b_, 2}});  // a keeps its value
  group_->put(3, {{a_, 3}});  // b has ended
  group_->put(4, {{a_, 4}});
  group_->put(5, {{a_, 5}, {b_, 5}});
  group_->release_before(6);
  EXPECT_EQ(sent_["a"], (Samples{{1, 1}, {3, 3}, {4, 4}, {5, 5}}));
  EXPECT_EQ(sent_["b"], (Samples{{1, 1}, {2, 2}, {3, kStale}, {5, 5}}));
}

TEST_F(Group, AMomentThatIsNotWholeEndsNothing) {
  make();
  group_->put(1, {{a_, 1}, {b_, 1}});
  group_->put(2, {{a_, 2}}, /*is_whole=*/false);
  group_->release_before(3);
  EXPECT_EQ(sent_["b"], (Samples{{1, 1}}));
}

TEST_F(Group, AtItsEndEverySeriesThatLivesIsSaidToEnd) {
  make();
  const std::size_t never = group_->add_series("never", Absence::keeps);
  static_cast<void>(never);
  group_->put(10, {{a_, 1}, {b_, 1}});
  group_->put(20, {{a_, 2}});
  group_->end();
  EXPECT_EQ(sent_["a"], (Samples{{10, 1}, {20, 2}, {21, kStale}}));
  EXPECT_EQ(sent_["b"], (Samples{{10, 1}, {20, kStale}})) << "once";
  EXPECT_EQ(sent_.count("never"), 0u);
  group_->end();
  EXPECT_EQ(sent_["a"].size(), 3u);
}

TEST_F(Group, WithoutAMomentHasNoEnd) {
  make();
  group_->end();
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(progress_->queued_ms, SampleProgress::kNone);
}

TEST_F(Group, TheNextAttemptGoesOnAfterTheEndOfTheOneBefore) {
  make();
  group_->put(10, {{a_, 1}});
  group_->end();
  make();
  EXPECT_FALSE(group_->put(11, {{a_, 2}})) << "the time of the marker";
  EXPECT_TRUE(group_->put(12, {{a_, 3}}));
  group_->release_before(13);
  EXPECT_EQ(sent_["a"], (Samples{{10, 1}, {11, kStale}, {12, 3}}));
}

TEST_F(Group, WhatAnEarlierProcessHasSentIsSkippedWithoutBeingALoss) {
  progress_->queued_ms = 20;
  make(20);
  for (std::int64_t time = 1; time <= 22; ++time) EXPECT_TRUE(group_->put(time, {{a_, static_cast<double>(time)}}));
  group_->release_before(23);
  EXPECT_EQ(sent_["a"], (Samples{{21, 21}, {22, 22}}));
  EXPECT_EQ(losses_->out_of_order, 0u);
  EXPECT_EQ(losses_->replaced, 0u);
}

TEST_F(Group, WhatAnEarlierProcessHasSentEndsWithTheRunAllTheSame) {
  progress_->queued_ms = 20;
  make(20);
  group_->put(19, {{a_, 1}, {b_, 1}});
  group_->put(20, {{a_, 2}, {b_, 2}});
  group_->end();
  EXPECT_EQ(sent_["a"], (Samples{{21, kStale}}));
  EXPECT_EQ(sent_["b"], (Samples{{21, kStale}}));
}

// Against a model that only knows the rules: of each time the last value, times that rise.
TEST_F(Group, RandomRecordsAlwaysGiveTimesThatRise) {
  std::mt19937 random(11);
  for (int round = 0; round < 50; ++round) {
    sent_.clear();
    progress_->queued_ms = SampleProgress::kNone;
    make();
    std::int64_t time = 1000, latest = 0;
    std::map<std::int64_t, double> expected;
    for (int i = 0; i < 300; ++i) {
      time += static_cast<std::int64_t>(random() % 4) - (random() % 20 == 0 ? 5 : 0);
      const double value = static_cast<double>(i);
      if (time >= latest) {
        expected[time] = value;
        latest = time;
      }
      group_->put(time, {{a_, value}});
    }
    group_->release_before(latest + 1);
    EXPECT_EQ(sent_["a"], Samples(expected.begin(), expected.end()));
  }
}

}  // namespace
}  // namespace vigil
