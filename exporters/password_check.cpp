#include "vigil/exporters/password_check.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "vigil/exporters/hmac.h"
#include "vigil/exporters/signal_mask.h"

namespace vigil {

namespace {

constexpr int kNice = 10;  // behind a training; at 19 a machine full of it would let nobody in before a scrape times out

}  // namespace

UserTable::UserTable(const std::vector<BasicAuthUser>& users) {
  int cost = 0;
  for (const BasicAuthUser& user : users) {
    hashes[user.name] = user.hash;
    cost = std::max(cost, bcrypt_cost(user.hash));
  }
  nobody = unmatchable_bcrypt_hash(std::max(cost, 4));
}

PasswordCheck::PasswordCheck(std::int64_t waiting, std::int64_t waiting_per_host)
    : most_waiting_(waiting), most_waiting_per_host_(waiting_per_host) {
  if (RAND_bytes(key_.data(), static_cast<int>(key_.size())) != 1) throw std::runtime_error("OpenSSL has no random numbers");
}

PasswordCheck::~PasswordCheck() { stop(); }

void PasswordCheck::Known::add(const Digest& digest) {
  if (!digests.insert(digest).second) return;
  order.push_back(digest);
  if (order.size() <= kMostKnown) return;
  digests.erase(order.front());
  order.pop_front();
}

// Over the hash too, so that a new password makes the old one unknown; with lengths, so that no two triples are the same text.
PasswordCheck::Digest PasswordCheck::digest_of(const UserTable& users, const BasicCredentials& credentials) const {
  const auto user = users.hashes.find(credentials.user);
  std::string text;
  for (const std::string* part : {&credentials.user, user == users.hashes.end() ? &users.nobody : &user->second, &credentials.password}) {
    text += std::to_string(part->size()) + ":" + *part;
  }
  return hmac_sha256_bytes({reinterpret_cast<const char*>(key_.data()), key_.size()}, text);
}

PasswordCheck::Verdict PasswordCheck::known(const UserTable& users, const BasicCredentials& credentials) {
  const Digest digest = digest_of(users, credentials);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (right_.digests.count(digest) > 0) return Verdict::right;
  return wrong_.digests.count(digest) > 0 ? Verdict::wrong : Verdict::unknown;
}

bool PasswordCheck::try_check(std::shared_ptr<const UserTable> users, BasicCredentials credentials, const std::string& host,
                              const std::function<void(Verdict)>& done) {
  const Digest digest = digest_of(*users, credentials);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stops_) return false;
  const auto same = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& job) { return job.digest == digest; });
  if (same != jobs_.end()) {
    same->waiting.push_back(done);
    return true;
  }
  const auto of_host = std::count_if(jobs_.begin(), jobs_.end(), [&](const Job& job) { return job.host == host; });
  if (static_cast<std::int64_t>(jobs_.size()) >= most_waiting_ || of_host >= most_waiting_per_host_) return false;
  if (!thread_.joinable()) {
    const SignalMask all_blocked;  // the thread inherits it
    thread_ = std::thread([this] { run(); });
    pthread_setname_np(thread_.native_handle(), "vigil-password");
  }
  jobs_.push_back({digest, std::move(users), std::move(credentials), host, {done}});
  changed_.notify_all();
  return true;
}

// Under the mutex, with a job there: the first of the host whose turn was the longest ago.
std::list<PasswordCheck::Job>::iterator PasswordCheck::next_job() {
  const auto turn_of = [this](const Job& job) {
    const auto turn = turns_.find(job.host);
    return turn == turns_.end() ? 0 : turn->second;
  };
  const auto next = std::min_element(jobs_.begin(), jobs_.end(), [&](const Job& a, const Job& b) { return turn_of(a) < turn_of(b); });
  turns_[next->host] = ++turn_;
  // A host is remembered while it is among the latest.
  constexpr std::size_t kHosts = 1024;
  if (turns_.size() > kHosts) {
    turns_.erase(std::min_element(turns_.begin(), turns_.end(), [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
  return next;
}

PasswordCheck::Verdict PasswordCheck::check(const Job& job) {
  const Verdict before = known(*job.users, job.credentials);  // found for one that waited with the same
  if (before != Verdict::unknown) return before;
  const auto user = job.users->hashes.find(job.credentials.user);
  const bool is_right = bcrypt_matches(job.credentials.password, user == job.users->hashes.end() ? job.users->nobody : user->second);
  checked_.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard<std::mutex> lock(mutex_);
  (is_right ? right_ : wrong_).add(job.digest);
  return is_right ? Verdict::right : Verdict::wrong;
}

void PasswordCheck::run() {
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);  // of this thread only; without it, it is only less polite
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stops_ || !jobs_.empty(); });
    if (stops_) return;
    const auto job = next_job();
    lock.unlock();
    const auto before = std::chrono::steady_clock::now();
    Verdict verdict = Verdict::unknown;
    try {
      verdict = check(*job);
    } catch (...) {
      // Out of memory: the request is told to come again.
    }
    const auto took = std::chrono::steady_clock::now() - before;
    lock.lock();
    const std::vector<Done> waiting = std::move(job->waiting);
    jobs_.erase(job);
    lock.unlock();
    for (const Done& done : waiting) done(verdict);
    lock.lock();
    if (verdict == Verdict::wrong) changed_.wait_for(lock, took, [this] { return stops_; });
  }
}

void PasswordCheck::stop() noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stops_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  std::list<Job> left;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    left.swap(jobs_);
  }
  for (const Job& job : left) {
    for (const Done& done : job.waiting) done(Verdict::unknown);
  }
}

}  // namespace vigil
