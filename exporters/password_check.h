// Checks passwords of HTTP Basic authentication without holding up anybody else: bcrypt takes a tenth of a second on purpose.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "vigil/config/web_config.h"
#include "vigil/exporters/basic_auth.h"

namespace vigil {

/// The users of a web config file; never changes.
struct UserTable {
  explicit UserTable(const std::vector<BasicAuthUser>& users);
  std::map<std::string, std::string> hashes;  ///< by name
  std::string nobody;                         ///< hash for names that are not there, as costly as the costliest
};

/// One thread of low priority checks one password at a time. What was right stays known, what was wrong too, each up to kMostKnown;
/// only keyed digests are kept. A password that is wrong is followed by a pause as long as its check took, so that guessing takes half a
/// core at most. Hosts take turns, those that had none first. Requests with the same user and password share one check.
class PasswordCheck {
 public:
  static constexpr std::size_t kMostKnown = 256;

  enum class Verdict : std::uint8_t { unknown, right, wrong };

  /// `waiting` passwords in all and `waiting_per_host` of one host are taken at a time.
  /// @throws std::runtime_error when there is no random number for the digests' key
  PasswordCheck(std::int64_t waiting, std::int64_t waiting_per_host);
  /// Calls stop().
  ~PasswordCheck();
  PasswordCheck(const PasswordCheck&) = delete;
  PasswordCheck& operator=(const PasswordCheck&) = delete;

  /// What an earlier check of the same has found. Any thread; microseconds.
  Verdict known(const UserTable& users, const BasicCredentials& credentials);

  /// Has it checked; `done` is called once with the verdict, in the thread of the check, unless this answers false: then too many wait
  /// already, or it is stopped. Starts the thread where there is none yet. Any thread.
  bool try_check(std::shared_ptr<const UserTable> users, BasicCredentials credentials, const std::string& host,
                 const std::function<void(Verdict)>& done);

  /// Ends the thread; who waits still gets `unknown`. Idempotent.
  void stop() noexcept;

  std::uint64_t checked() const noexcept { return checked_.load(std::memory_order_relaxed); }  // a lone counter

 private:
  using Digest = std::array<unsigned char, 32>;
  using Done = std::function<void(Verdict)>;
  struct Job {
    Digest digest;
    std::shared_ptr<const UserTable> users;
    BasicCredentials credentials;
    std::string host;
    std::vector<Done> waiting;
  };
  // The newest of a kind.
  struct Known {
    std::set<Digest> digests;
    std::deque<Digest> order;
    void add(const Digest& digest);
  };

  Digest digest_of(const UserTable& users, const BasicCredentials& credentials) const;
  Verdict check(const Job& job);
  void run();
  std::list<Job>::iterator next_job();

  const std::int64_t most_waiting_, most_waiting_per_host_;
  std::array<unsigned char, 32> key_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Job> jobs_;                         // the one that is checked stays in it until it is done
  std::map<std::string, std::uint64_t> turns_;  // of hosts with jobs: when they last had one, counted
  std::uint64_t turn_ = 0;
  Known right_, wrong_;
  bool stops_ = false;
  std::thread thread_;
  std::atomic<std::uint64_t> checked_{0};
};

}  // namespace vigil
