#include "vigil/exporters/password_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

namespace vigil {
namespace {

using Verdict = PasswordCheck::Verdict;

// Of "rosebud".
const std::string kCheap = "$2b$04$vigilvigilvigilvigilveHFIpVJ/4uVfwh0kO6e7uOQ6eTosNq0y";
const std::string kUsual = "$2b$10$abcdefghijklmnopqrstuuzx.CbLoQMac/wLLrA/Uu6/I9tyypH2i";

class Passwords : public testing::Test {
 protected:
  bool ask(const std::string& user, const std::string& password, const std::string& host = "a") {
    return check.try_check(users, {user, password}, host, [this, host](Verdict verdict) {
      const std::lock_guard<std::mutex> lock(mutex);
      verdicts.push_back(verdict);
      hosts.push_back(host);
      changed.notify_all();
    });
  }
  bool wait_for(std::size_t count) {
    std::unique_lock<std::mutex> lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), [&] { return verdicts.size() >= count; });
  }
  Verdict verdict_of(const std::string& user, const std::string& password) {
    const std::size_t before = verdicts.size();
    EXPECT_TRUE(ask(user, password));
    EXPECT_TRUE(wait_for(before + 1));
    return verdicts.back();
  }

  std::shared_ptr<const UserTable> users =
      std::make_shared<const UserTable>(std::vector<BasicAuthUser>{{"alice", kCheap}, {"bob", kCheap}});
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Verdict> verdicts;
  std::vector<std::string> hosts;
  PasswordCheck check{8, 4};
};

TEST_F(Passwords, AreCheckedAndThenKnown) {
  EXPECT_EQ(check.known(*users, {"alice", "rosebud"}), Verdict::unknown);
  EXPECT_EQ(verdict_of("alice", "rosebud"), Verdict::right);
  EXPECT_EQ(verdict_of("alice", "Rosebud"), Verdict::wrong);
  EXPECT_EQ(verdict_of("carol", "rosebud"), Verdict::wrong);
  EXPECT_EQ(check.known(*users, {"alice", "rosebud"}), Verdict::right);
  EXPECT_EQ(check.known(*users, {"alice", "Rosebud"}), Verdict::wrong);
  EXPECT_EQ(check.known(*users, {"bob", "rosebud"}), Verdict::unknown) << "another user's";
  EXPECT_EQ(check.checked(), 3u);
  EXPECT_EQ(verdict_of("alice", "rosebud"), Verdict::right);
  EXPECT_EQ(check.checked(), 3u) << "what is known is not checked again";
}

TEST_F(Passwords, AreUnknownAgainWhenTheHashIsAnother) {
  EXPECT_EQ(verdict_of("alice", "rosebud"), Verdict::right);
  const UserTable changed_users({{"alice", kUsual}}), none({});
  EXPECT_EQ(check.known(changed_users, {"alice", "rosebud"}), Verdict::unknown);
  EXPECT_EQ(check.known(none, {"alice", "rosebud"}), Verdict::unknown);
}

TEST_F(Passwords, AreNotConfusedByWhereOnePartEnds) {
  EXPECT_EQ(verdict_of("alice", "rosebud"), Verdict::right);
  EXPECT_EQ(check.known(*users, {"alic", "erosebud"}), Verdict::unknown);
  EXPECT_EQ(check.known(*users, {"alice" + std::string("7:"), "rosebud"}), Verdict::unknown);
}

TEST_F(Passwords, ThatAreWrongDoNotPushOutWhatIsRight) {
  EXPECT_EQ(verdict_of("alice", "rosebud"), Verdict::right);
  for (std::size_t i = 0; i < PasswordCheck::kMostKnown + 5; ++i) EXPECT_EQ(verdict_of("alice", std::to_string(i)), Verdict::wrong);
  EXPECT_EQ(check.known(*users, {"alice", "rosebud"}), Verdict::right);
  EXPECT_EQ(check.known(*users, {"alice", "0"}), Verdict::unknown) << "the oldest are forgotten";
}

TEST_F(Passwords, OfNobodyTakeAsLongAsThoseOfTheCostliestUser) {
  const UserTable table({{"alice", kCheap}, {"bob", kUsual}});
  EXPECT_EQ(bcrypt_cost(table.nobody), 10);
}

TEST_F(Passwords, ThatWaitAreBounded) {
  users = std::make_shared<const UserTable>(std::vector<BasicAuthUser>{{"alice", kUsual}});  // tens of milliseconds each
  int taken = 0;
  for (int i = 0; i < 20; ++i) taken += ask("alice", std::to_string(i), "a") ? 1 : 0;
  EXPECT_GE(taken, 4) << "or more, where one was done meanwhile";
  EXPECT_LE(taken, 10);
  for (int i = 0; i < 20; ++i) taken += ask("alice", std::to_string(100 + i), "host " + std::to_string(i)) ? 1 : 0;
  EXPECT_GE(taken, 8);
  EXPECT_LE(taken, 15);
  check.stop();
  ASSERT_TRUE(wait_for(static_cast<std::size_t>(taken)));
  EXPECT_EQ(verdicts.back(), Verdict::unknown) << "who still waits at the end is told so";
  EXPECT_FALSE(ask("alice", "rosebud"));
}

TEST_F(Passwords, ThatAreTheSameShareOneCheck) {
  users = std::make_shared<const UserTable>(std::vector<BasicAuthUser>{{"alice", kUsual}});
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(ask("alice", "rosebud", "host " + std::to_string(i % 5))) << "more than may wait";
  ASSERT_TRUE(wait_for(50));
  EXPECT_EQ(std::count(verdicts.begin(), verdicts.end(), Verdict::right), 50);
  EXPECT_EQ(check.checked(), 1u);
}

TEST_F(Passwords, OfAHostThatHadNoTurnGoFirst) {
  users = std::make_shared<const UserTable>(std::vector<BasicAuthUser>{{"alice", kUsual}});
  ASSERT_TRUE(ask("alice", "0", "flood"));
  ASSERT_TRUE(wait_for(1));
  for (int i = 1; i <= 4; ++i) ASSERT_TRUE(ask("alice", std::to_string(i), "flood"));  // within the pause after the first
  ASSERT_TRUE(ask("alice", "rosebud", "newcomer"));
  ASSERT_TRUE(wait_for(6));
  const auto turn = std::find(hosts.begin(), hosts.end(), "newcomer") - hosts.begin();
  EXPECT_LE(turn, 2) << "before those of the flood, but for one that may have begun";
  EXPECT_EQ(verdicts[static_cast<std::size_t>(turn)], Verdict::right);
}

TEST_F(Passwords, ThatAreGuessedTakeHalfACoreAtMost) {
  users = std::make_shared<const UserTable>(std::vector<BasicAuthUser>{{"alice", kUsual}});
  ASSERT_EQ(verdict_of("alice", "0"), Verdict::wrong);
  const auto before = std::chrono::steady_clock::now();
  std::timespec cpu_before{}, cpu_after{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_before);
  for (int i = 1; i <= 4; ++i) ASSERT_TRUE(ask("alice", std::to_string(i)));
  ASSERT_TRUE(wait_for(5));
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_after);
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  const double cpu =
      static_cast<double>(cpu_after.tv_sec - cpu_before.tv_sec) + 1e-9 * static_cast<double>(cpu_after.tv_nsec - cpu_before.tv_nsec);
  EXPECT_LT(cpu, 0.7 * took) << "pauses of the same length, but for the last";
}

}  // namespace
}  // namespace vigil
