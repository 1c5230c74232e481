// The state machine of one rule and subject, and what bounds all of them.
#include "vigil/monitor/rules/alert_book.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "vigil/monitor/rules/says.h"

namespace vigil {
namespace {

constexpr std::size_t kRule = 0;

class Book : public testing::Test {
 protected:
  void make(const RuleSetup& rule, std::size_t subjects = 1, std::size_t max_instances = 4) {
    book_ = std::make_unique<AlertBook>(std::vector<RuleSetup>{rule, rule}, std::vector<std::size_t>{subjects, subjects}, max_instances);
    book_->set_on_alert([this](const Alert& alert) {
      told_.push_back(std::string(kAlertStateNames[static_cast<std::size_t>(alert.state)]) + " " + std::string(alert.parameter.view()) +
                      "@" + std::to_string(alert.step));
      alerts_.push_back(alert);
    });
  }
  void judge(std::uint64_t step, bool holds, std::size_t subject = 0, std::size_t rule = kRule, double value = 7) {
    book_->set_moment(step, static_cast<std::int64_t>(step) * 1'000'000'000);
    const std::string name = "p" + std::to_string(subject);
    book_->judge(rule, {subject, name, "layer"}, holds, value, 5, says("seen ", value));
  }

  std::unique_ptr<AlertBook> book_;
  std::vector<std::string> told_;
  std::vector<Alert> alerts_;
};

using Texts = std::vector<std::string>;

TEST_F(Book, FiresAtOnceWithoutForAndIsOverAtOnce) {
  make({});
  judge(1, false);
  judge(2, true);
  judge(3, true);
  judge(4, false);
  judge(5, false);
  EXPECT_EQ(told_, (Texts{"firing p0@2", "resolved p0@4"}));
  EXPECT_TRUE(book_->firing().empty());
  EXPECT_EQ(book_->fired()[kRule], 1u);
}

TEST_F(Book, PendsUntilItHasHeldForSteps) {
  make({true, 3});
  for (std::uint64_t step = 1; step <= 3; ++step) judge(step, true);
  EXPECT_TRUE(told_.empty()) << "pending";
  judge(4, true);
  EXPECT_EQ(told_, Texts{"firing p0@4"});
  EXPECT_EQ(alerts_[0].since_step, 1u);
  EXPECT_EQ(alerts_[0].since_time_ns, 1'000'000'000);
  EXPECT_EQ(alerts_[0].fired_step, 4u);
  EXPECT_EQ(alerts_[0].fired_time_ns, 4'000'000'000);
}

TEST_F(Book, OneStepWithoutItBeginsThePendingAnew) {
  make({true, 3});
  for (const std::uint64_t step : {1, 2, 3}) judge(step, true);
  judge(4, false);
  for (const std::uint64_t step : {5, 6, 7}) judge(step, true);
  EXPECT_TRUE(told_.empty());
  judge(8, true);
  EXPECT_EQ(told_, Texts{"firing p0@8"});
  EXPECT_EQ(alerts_[0].since_step, 5u);
}

TEST_F(Book, PendsForATimeToo) {
  RuleSetup rule{true, 2, 5'000'000'000};
  make(rule);
  for (std::uint64_t step = 10; step <= 14; ++step) judge(step, true);
  EXPECT_TRUE(told_.empty()) << "the steps are over, the time is not";
  judge(15, true);
  EXPECT_EQ(told_, Texts{"firing p0@15"});
}

TEST_F(Book, StepsThatAreNotJudgedCountForFor) {
  make({true, 20});  // as for tensors that are sampled every 10th step
  judge(10, true);
  judge(20, true);
  EXPECT_TRUE(told_.empty());
  judge(30, true);
  EXPECT_EQ(told_, Texts{"firing p0@30"});
}

TEST_F(Book, KeepsFiringForStepsWithoutIt) {
  make({true, 0, 0, 5});
  judge(1, true);
  for (std::uint64_t step = 2; step <= 5; ++step) judge(step, false);
  EXPECT_EQ(told_.size(), 1u);
  judge(5, true);  // which it comes back in, and no second alert is told
  for (std::uint64_t step = 6; step <= 9; ++step) judge(step, false);
  EXPECT_EQ(told_.size(), 1u);
  judge(10, false);
  EXPECT_EQ(told_, (Texts{"firing p0@1", "resolved p0@10"}));
  EXPECT_EQ(alerts_[1].since_step, 1u);
  EXPECT_EQ(alerts_[1].fired_step, 1u);
  EXPECT_EQ(alerts_[1].time_ns, 10'000'000'000);
}

TEST_F(Book, AFiringAlertFollowsItsValueAndKeepsItsSentence) {
  make({});
  judge(1, true, 0, kRule, 7);
  judge(2, true, 0, kRule, 9);
  ASSERT_EQ(book_->firing().size(), 1u);
  const Alert& alert = book_->firing()[0];
  EXPECT_EQ(alert.value, 9);
  EXPECT_EQ(alert.limit, 5);
  EXPECT_EQ(alert.step, 2u);
  EXPECT_EQ(alert.fired_step, 1u);
  EXPECT_EQ(alert.sentence.view(), "seen 7");
  EXPECT_EQ(alert.layer.view(), "layer");
}

TEST_F(Book, UpperGivesAFifthOfTheLimitToWhatFires) {
  make({}, 2);
  EXPECT_EQ(book_->upper(Rule{}, 0, 10), 10);
  judge(1, true, 0);
  EXPECT_DOUBLE_EQ(book_->upper(Rule{}, 0, 10), 8);
  EXPECT_EQ(book_->upper(Rule{}, 1, 10), 10) << "another subject";
  judge(2, false, 0);
  EXPECT_EQ(book_->upper(Rule{}, 0, 10), 10);
}

TEST_F(Book, SubjectsAndRulesAreIndependent) {
  make({true, 1}, 3);
  judge(1, true, 0);
  judge(1, true, 2);
  judge(2, true, 0);
  judge(2, false, 2);
  judge(2, true, 1);
  judge(3, true, 2);
  judge(3, true, 1);
  judge(3, false, 0);
  judge(3, true, 0, 1);
  judge(4, true, 0, 1);
  judge(4, true, 2);
  EXPECT_EQ(told_, (Texts{"firing p0@2", "firing p1@3", "resolved p0@3", "firing p0@4", "firing p2@4"}));
  EXPECT_EQ(alerts_[3].rule, 1u);
  EXPECT_EQ(book_->fired(), (std::vector<std::uint64_t>{3, 1}));
}

TEST_F(Book, TheAlertThatTakesTheFreePlaceIsStillTheSame) {
  make({}, 4);
  for (const std::size_t subject : {0, 1, 2, 3}) judge(1, true, subject);
  judge(2, false, 1);  // the last one takes its place
  judge(3, true, 3, kRule, 33);
  judge(3, false, 0);
  judge(4, true, 2, kRule, 44);
  ASSERT_EQ(book_->firing().size(), 2u);
  for (const Alert& alert : book_->firing()) EXPECT_EQ(alert.value, alert.parameter.view() == "p3" ? 33 : 44);
  judge(5, false, 3);
  judge(5, false, 2);
  EXPECT_EQ(told_.back(), "resolved p2@5");
  EXPECT_TRUE(book_->firing().empty());
}

TEST_F(Book, OfOneRuleAtMostMaxInstancesFireAndTheOthersAreCounted) {
  make({}, 6, 2);
  for (std::uint64_t step = 1; step <= 3; ++step) {
    for (std::size_t subject = 0; subject < 6; ++subject) judge(step, true, subject);
  }
  EXPECT_EQ(told_, (Texts{"firing p0@1", "firing p1@1"}));
  EXPECT_EQ(book_->suppressed(), 4u) << "each once, however long it lasts";
  judge(3, true, 0, 1);
  EXPECT_EQ(told_.back(), "firing p0@3") << "another rule has places of its own";
}

TEST_F(Book, WhatHadNoPlaceFiresWhenOneIsFree) {
  make({}, 3, 1);
  for (const std::size_t subject : {0, 1}) judge(1, true, subject);
  judge(2, false, 0);
  judge(2, true, 1);
  ASSERT_EQ(told_, (Texts{"firing p0@1", "resolved p0@2", "firing p1@2"}));
  EXPECT_EQ(alerts_[2].since_step, 1u);
  EXPECT_EQ(book_->suppressed(), 1u);
  judge(3, true, 2);
  judge(4, false, 2);
  judge(5, true, 2);
  EXPECT_EQ(book_->suppressed(), 3u) << "a second time is counted again";
}

TEST_F(Book, OfAllRulesAtMostKMaxFiring) {
  make({}, AlertBook::kMaxFiring, AlertBook::kMaxFiring);
  for (std::size_t subject = 0; subject < AlertBook::kMaxFiring - 1; ++subject) judge(1, true, subject);
  judge(1, true, 0, 1);
  EXPECT_EQ(book_->firing().size(), AlertBook::kMaxFiring);
  EXPECT_EQ(book_->suppressed(), 0u);
  judge(1, true, 1, 1);
  judge(1, true, AlertBook::kMaxFiring - 1);
  EXPECT_EQ(book_->firing().size(), AlertBook::kMaxFiring);
  EXPECT_EQ(book_->suppressed(), 2u);
}

TEST_F(Book, ARuleThatIsOffNeverFires) {
  make({false});
  for (std::uint64_t step = 1; step <= 5; ++step) judge(step, true);
  EXPECT_TRUE(told_.empty());
  EXPECT_FALSE(book_->is_firing(kRule, 0));
}

TEST(Numbers, HaveFourDigitsAndNonFiniteOnesHaveNames) {
  const auto text_of = [](double number) {
    RingText<384> text;
    append_number(text, number);
    return std::string(text.view());
  };
  EXPECT_EQ(text_of(1234.56), "1235");
  EXPECT_EQ(text_of(0.000123456), "0.0001235");
  EXPECT_EQ(text_of(1e-9), "1e-09");
  EXPECT_EQ(text_of(0), "0");
  EXPECT_EQ(text_of(std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(text_of(-std::numeric_limits<double>::infinity()), "-inf");
}

TEST(Sentences, AreCutWhereTheyAreTooLong) {
  const std::string part(200, 'x');
  RingText<384> text;
  says(std::string_view(part), 5.0, std::string_view(part), std::string_view(part))(text);
  EXPECT_EQ(text.view().size(), 383u);
}

}  // namespace
}  // namespace vigil
