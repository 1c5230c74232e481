// Which connections are let in, and which are cut, by an injected clock over pairs of sockets.
#include "vigil/exporters/http_connections.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <string>

#include "vigil/exporters/http_exchange.h"
#include "vigil/exporters/web_security.h"

namespace vigil {
namespace {

using namespace std::chrono_literals;
using Phase = HttpConnections::Phase;
using Admission = HttpConnections::Admission;

sockaddr_storage address_of(const std::string& text) {
  sockaddr_storage address{};
  auto& ipv4 = reinterpret_cast<sockaddr_in&>(address);
  auto& ipv6 = reinterpret_cast<sockaddr_in6&>(address);
  if (inet_pton(AF_INET, text.c_str(), &ipv4.sin_addr) == 1) {
    address.ss_family = AF_INET;
  } else if (inet_pton(AF_INET6, text.c_str(), &ipv6.sin6_addr) == 1) {
    address.ss_family = AF_INET6;
  }
  return address;
}

class Connections : public testing::Test {
 protected:
  struct Pair {
    int ours = -1, theirs = -1;
    HttpConnections::Connection* connection = nullptr;
  };

  Connections() {
    limits.connections = 4;
    limits.connections_per_address = 3;
  }
  ~Connections() override {
    for (const Pair& pair : pairs) {
      close(pair.ours);
      close(pair.theirs);
    }
  }

  Pair& open(const std::string& address) {
    Pair pair;
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    pair.ours = sockets[0];
    pair.theirs = sockets[1];
    pairs.push_back(pair);
    last = connections.admit(pairs.back().ours, address_of(address), &owner, false, now);
    if (last == Admission::admitted) pairs.back().connection = connections.started(pairs.back().ours);
    return pairs.back();
  }
  static bool is_cut(const Pair& pair) {
    char c;
    return recv(pair.theirs, &c, 1, MSG_PEEK) == 0;
  }

  HttpLimits limits;
  int owner = 0;
  HttpConnections::Time now{1h};
  std::deque<Pair> pairs;
  HttpConnections connections{[this] {
    limits.connections = 4;
    limits.connections_per_address = 3;
    return limits;
  }()};
  Admission last = Admission::admitted;
};

TEST_F(Connections, TheOneThatKeptTheServerWaitingLongestMakesRoom) {
  const Pair& first = open("10.0.0.1");
  now += 1s;
  const Pair& second = open("10.0.0.2");
  open("10.0.0.3");
  open("10.0.0.4");
  EXPECT_TRUE(connections.make_room(now));
  EXPECT_TRUE(is_cut(first));
  EXPECT_FALSE(is_cut(second));
  EXPECT_EQ(connections.evicted, 1u);
  open("10.0.0.5");
  EXPECT_EQ(last, Admission::admitted);
}

TEST_F(Connections, NobodyIsCutBeforeTheyHadAChance) {
  for (const char* address : {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}) open(address);
  EXPECT_FALSE(connections.make_room(now + HttpConnections::kPatience / 2));
  EXPECT_EQ(connections.evicted, 0u);
  EXPECT_TRUE(connections.make_room(now + 2 * HttpConnections::kPatience));
}

TEST_F(Connections, BetweenRequestsGoesBeforeWithinOne) {
  open("10.0.0.1");
  const Pair& idle = open("10.0.0.2");
  open("10.0.0.3");
  open("10.0.0.4");
  connections.set_phase(idle.connection, Phase::idle, now + 1s);
  EXPECT_TRUE(connections.make_room(now + 5s));
  EXPECT_TRUE(is_cut(idle));
}

TEST_F(Connections, WhatIsOursToDoIsNotCut) {
  for (const char* address : {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}) {
    connections.set_phase(open(address).connection, Phase::handling, now);
  }
  EXPECT_FALSE(connections.make_room(now + 1h));
  connections.sweep(now + 1h);
  for (const Pair& pair : pairs) EXPECT_FALSE(is_cut(pair));
}

TEST_F(Connections, WhoseBytesAreNotReadYetHaveNotKeptTheServerWaiting) {
  const Pair& sent = open("10.0.0.1");
  now += 1s;
  const Pair& silent = open("10.0.0.2");
  open("10.0.0.3");
  open("10.0.0.4");
  ASSERT_EQ(send(sent.theirs, "GET", 3, 0), 3);
  EXPECT_TRUE(connections.make_room(now + 1s));
  EXPECT_FALSE(is_cut(sent)) << "it is the server that is slow";
  EXPECT_TRUE(is_cut(silent));
}

TEST_F(Connections, OfThoseThatTakeNothingTheLongestIsCut) {
  const Pair& coming = open("10.0.0.1");
  const Pair& first = open("10.0.0.2");
  const Pair& second = open("10.0.0.3");
  connections.set_phase(first.connection, Phase::sending, now + 1s);
  connections.set_phase(second.connection, Phase::sending, now + 2s);
  EXPECT_FALSE(connections.cut_stalled(now + 1100ms));
  EXPECT_TRUE(connections.cut_stalled(now + 2600ms));
  EXPECT_TRUE(is_cut(first));
  EXPECT_FALSE(is_cut(second));
  EXPECT_TRUE(connections.cut_stalled(now + 2600ms));
  EXPECT_FALSE(connections.cut_stalled(now + 1h)) << "nobody is left who takes nothing";
  EXPECT_FALSE(is_cut(coming));
}

TEST_F(Connections, AnAddressThatHasItsShareLosesOneOfItsOwn) {
  const Pair& other = open("10.0.0.9");
  now += 1s;
  const Pair& first = open("10.0.0.1");
  open("10.0.0.1");
  open("10.0.0.1");
  now += 1s;
  open("10.0.0.1");
  EXPECT_EQ(last, Admission::admitted);
  EXPECT_TRUE(is_cut(first));
  EXPECT_FALSE(is_cut(other)) << "though it has waited longer";
  open("10.0.0.1");  // a second later the next one goes
  open("10.0.0.1");
  open("10.0.0.1");
  EXPECT_EQ(last, Admission::address_full) << "all of them have just come";
  EXPECT_EQ(connections.refused, 1u);
}

TEST_F(Connections, OfThisMachineHaveNoShare) {
  for (int i = 0; i < 4; ++i) {
    open("127.0.0.1");
    EXPECT_EQ(last, Admission::admitted);
  }
}

TEST_F(Connections, ThatAreCutButNotClosedAreBoundedToo) {
  limits.connections = 1;
  HttpConnections few(limits);
  std::size_t let_in = 0;
  for (; let_in < 1000 && few.make_room(now); ++let_in) {
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    pairs.push_back({sockets[0], sockets[1]});
    few.admit(sockets[0], address_of("10.0.0." + std::to_string(let_in)), &owner, false, now);
    few.started(sockets[0]);
    now += 1s;
  }
  EXPECT_EQ(let_in, 1 + HttpConnections::kMostDoomed);
}

TEST_F(Connections, TimesOfEachPhaseAreKept) {
  const Pair& slow = open("10.0.0.1");
  const Pair& idle = open("10.0.0.2");
  const Pair& unread = open("10.0.0.3");
  connections.set_phase(slow.connection, Phase::receiving, now + 9s);  // a trickle does not begin anew
  connections.set_phase(idle.connection, Phase::idle, now);
  connections.set_phase(unread.connection, Phase::sending, now);
  connections.sweep(now + 9900ms);
  for (const Pair& pair : pairs) EXPECT_FALSE(is_cut(pair));
  connections.sweep(now + 10100ms);
  EXPECT_TRUE(is_cut(slow));
  EXPECT_FALSE(is_cut(idle));
  EXPECT_TRUE(is_cut(unread));
  connections.sweep(now + 15100ms);
  EXPECT_TRUE(is_cut(idle));
  EXPECT_EQ(connections.request_timeouts, 1u);
  EXPECT_EQ(connections.answer_timeouts, 1u);
  EXPECT_EQ(connections.idle_timeouts, 1u);
}

TEST_F(Connections, OfARetiredOwnerGoWhenTheyAreIdle) {
  const Pair& busy = open("10.0.0.1");
  const Pair& idle = open("10.0.0.2");
  connections.set_phase(busy.connection, Phase::handling, now);
  connections.set_phase(idle.connection, Phase::idle, now);
  connections.retire(&owner);
  EXPECT_TRUE(connections.is_retired(busy.connection));
  connections.sweep(now);
  EXPECT_FALSE(is_cut(busy));
  EXPECT_TRUE(is_cut(idle));
  EXPECT_TRUE(connections.is_retired(open("10.0.0.3").connection)) << "one that came late";
  EXPECT_EQ(connections.count_of(&owner), 3u);
}

TEST_F(Connections, ThatWereNeverServedTouchNoSocket) {
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
  pairs.push_back({sockets[0], sockets[1]});
  connections.admit(sockets[0], address_of("10.0.0.1"), &owner, false, now);  // and the library closed it without a word
  connections.sweep(now + 1h);
  EXPECT_FALSE(is_cut(pairs.back())) << "another file may have its number by now";
  EXPECT_EQ(connections.size(), 0u);
}

TEST(HostKey, IsTheWholeOfIpv4AndTheNetworkOfIpv6) {
  EXPECT_NE(host_key(address_of("10.0.0.1")), host_key(address_of("10.0.0.2")));
  EXPECT_EQ(host_key(address_of("::ffff:10.0.0.1")), host_key(address_of("10.0.0.1")));
  EXPECT_EQ(host_key(address_of("2001:db8:1:2::1")), host_key(address_of("2001:db8:1:2:ffff::9")));
  EXPECT_NE(host_key(address_of("2001:db8:1:2::1")), host_key(address_of("2001:db8:1:3::1")));
  for (const char* own : {"127.0.0.1", "::1", "::ffff:127.0.0.1"}) EXPECT_EQ(host_key(address_of(own)), "") << own;
  EXPECT_NE(host_key(address_of("127.0.0.2")), "");
  EXPECT_NE(host_key(address_of("::")), "");
}

TEST(BodiesThatAreHeld, CountOnceHoweverManyReadThem) {
  HeldBodies bodies(100);
  const auto shared = std::make_shared<const std::string>(60, 'a'), other = std::make_shared<const std::string>(41, 'b');
  EXPECT_TRUE(bodies.try_hold(shared));
  EXPECT_TRUE(bodies.try_hold(shared));
  EXPECT_EQ(bodies.bytes(), 60u);
  EXPECT_FALSE(bodies.try_hold(other));
  bodies.release(shared);
  EXPECT_FALSE(bodies.try_hold(other));
  bodies.release(shared);
  EXPECT_EQ(bodies.bytes(), 0u);
  EXPECT_TRUE(bodies.try_hold(other));
  bodies.release(other);
  EXPECT_TRUE(bodies.try_hold(std::make_shared<const std::string>(1000, 'c'))) << "one always has room";
  EXPECT_TRUE(bodies.try_hold(shared, true)) << "so has one for which another had to go";
}

TEST(RateLimitOfRequests, LetsABurstThroughAndThenOneAnInterval) {
  RateLimit rate;
  RateLimit::Time now{1h};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rate.try_take(100'000, 3, now));
  EXPECT_FALSE(rate.try_take(100'000, 3, now));
  EXPECT_FALSE(rate.try_take(100'000, 3, now + 99ms));
  EXPECT_TRUE(rate.try_take(100'000, 3, now + 100ms));
  EXPECT_FALSE(rate.try_take(100'000, 3, now + 100ms));
  EXPECT_TRUE(rate.try_take(0, 0, now)) << "no limit";
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rate.try_take(100'000, 3, now + 1h));
  EXPECT_FALSE(rate.try_take(100'000, 3, now + 1h)) << "no more than a burst is saved up";
}

}  // namespace
}  // namespace vigil
