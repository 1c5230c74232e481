#include "vigil/exporters/alert_exporters.h"

#include <exception>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "vigil/exporters/logging.h"
#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

constexpr std::chrono::milliseconds kGrace{2000};  // and up to a second more for a post under way

// What is lost with the end of a run is told.
void log_left(std::size_t count, const char* what) noexcept {
  if (count == 0) return;
  try {
    log(LogLevel::error, std::to_string(count) + what + " before the run ended");
  } catch (...) {
    // No memory for the text.
  }
}

void throw_failures(DeliveryThread& thread, const std::string& what) {
  const auto [failures, reason] = thread.status().take_failures();
  if (failures > 0) throw std::runtime_error(what + ": " + reason);
}

}  // namespace

std::string read_signing_key(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream file(path);
  std::string key;
  if (!std::getline(file, key) || key.empty()) {
    throw std::runtime_error("cannot read a key from the first line of '" + path +
                             "'; set exporters.webhook.secret_file to a file that has one");
  }
  return key;
}

void AlertQueue::push(const AlertMessage& message) {
  auto copy = std::make_shared<const AlertMessage>(message);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (messages_.size() >= capacity_) {
    messages_.pop_front();
    ++dropped_;
  }
  messages_.push_back(std::move(copy));
}

std::shared_ptr<const AlertMessage> AlertQueue::front() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return messages_.empty() ? nullptr : messages_.front();
}

void AlertQueue::pop(const std::shared_ptr<const AlertMessage>& message) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!messages_.empty() && messages_.front() == message) messages_.pop_front();
}

void AlertQueue::drop(const std::shared_ptr<const AlertMessage>& message) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (messages_.empty() || messages_.front() != message) return;  // a newer one took its place, which was counted
  messages_.pop_front();
  ++dropped_;
}

std::size_t AlertQueue::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return messages_.size();
}

std::uint64_t AlertQueue::dropped() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return dropped_;
}

WebhookExporter::WebhookExporter(const WebhookConfig& config, const RunIdentity& identity)
    : config_(config),
      identity_(identity),
      key_(read_signing_key(config.secret_file)),
      queue_(static_cast<std::size_t>(config.queue_size)) {
  thread_ = std::make_unique<DeliveryThread>("vigil-webhook", [this](DeliveryStatus& status) { return deliver(status); });
}

void WebhookExporter::on_alert(const AlertMessage& message) {
  if (!message.has(AlertAction::webhook)) return;
  queue_.push(message);
  thread_->wake();
}

std::optional<DeliveryThread::Clock::time_point> WebhookExporter::deliver(DeliveryStatus& status) {
  if (poster_ == nullptr)
    poster_ =
        std::make_unique<HttpPoster>(config_.url, std::chrono::milliseconds(config_.timeout_ms), [&status] { return status.must_stop(); });
  while (const auto message = queue_.front()) {
    const std::string body = webhook_body(identity_, *message);
    std::vector<std::string> headers;
    if (!key_.empty()) headers.push_back("X-Vigil-Signature: sha256=" + hmac_sha256(key_, body));
    const PostResult result = poster_->post(body, headers);
    if (!result.is_success()) {
      status.note_failure(result.error);
      if (result.may_be_tried_again()) return DeliveryThread::Clock::now() + backoff_.next();
      queue_.drop(message);
      continue;
    }
    backoff_.reset();
    queue_.pop(message);
  }
  return std::nullopt;
}

void WebhookExporter::on_poll() { throw_failures(*thread_, "cannot post an alert to exporters.webhook.url"); }

void WebhookExporter::begin_stop() noexcept { thread_->begin_stop(kGrace); }

void WebhookExporter::stop() noexcept {
  thread_->stop(kGrace, [this] { return queue_.size() == 0; });
  log_left(queue_.size(), " alerts could not be posted to exporters.webhook.url");
}

AlertmanagerExporter::AlertmanagerExporter(const AlertmanagerConfig& config, const RunIdentity& identity)
    : config_(config), identity_(identity) {
  thread_ = std::make_unique<DeliveryThread>("vigil-alertmgr", [this](DeliveryStatus& status) { return deliver(status); });
}

void AlertmanagerExporter::on_alert(const AlertMessage& message) {
  if (!message.has(AlertAction::alertmanager)) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Alert& alert = message.alert;
    const Key key{alert.rule, std::string(alert.parameter.view()), std::string(alert.layer.view()), std::string(alert.subject.view())};
    if (entries_.count(key) == 0) {
      if (message.alert.state == AlertState::resolved) return;  // of which nobody was told: there was no room, or it was refused
      if (entries_.size() >= kMaxAlerts) {
        ++dropped_;
        return;
      }
    }
    Entry& entry = entries_[key];
    entry.message = message;
    entry.is_over = message.alert.state == AlertState::resolved;
    entry.version = ++versions_;
    is_changed_ = true;
  }
  thread_->wake();
}

std::optional<DeliveryThread::Clock::time_point> AlertmanagerExporter::deliver(DeliveryStatus& status) {
  const std::chrono::milliseconds resend(config_.resend_ms);
  if (poster_ == nullptr) {
    std::string url = config_.url;
    while (url.back() == '/') url.pop_back();
    poster_ = std::make_unique<HttpPoster>(url + "/api/v2/alerts", std::chrono::milliseconds(config_.timeout_ms),
                                           [&status] { return status.must_stop(); });
  }
  std::vector<Told> batch;
  std::uint64_t seen = 0;
  const Clock::time_point now = Clock::now();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (entries_.empty()) return std::nullopt;
    if (!is_changed_ && now < next_resend_) return next_resend_;
    seen = versions_;
    for (const auto& [key, entry] : entries_) {
      const bool as_over = entry.is_over && entry.told && now - *entry.told >= resend;
      batch.push_back({key, entry.version, as_over, entry.message});
      if (!as_over) batch.back().message.alert.state = AlertState::firing;
    }
  }
  PostResult result = post(batch);
  if (result.is_refused() && batch.size() > 1) {
    // One that Alertmanager cannot take keeps it from all the others.
    for (const Told& one : batch) {
      result = post({one});
      if (!result.is_success() && !result.is_refused()) break;
      if (result.is_refused()) status.note_failure(result.error);
      settle(one, now, result);
    }
  } else {
    if (result.is_refused()) status.note_failure(result.error);
    for (const Told& one : batch) settle(one, now, result);
  }
  if (!result.is_success() && !result.is_refused()) {
    status.note_failure(result.error);
    return Clock::now() + backoff_.next();
  }
  backoff_.reset();
  const std::lock_guard<std::mutex> lock(mutex_);
  is_changed_ = versions_ != seen;  // a message came while these were posted
  next_resend_ = now + resend;
  if (entries_.empty()) return std::nullopt;
  return is_changed_ ? Clock::now() : next_resend_;
}

PostResult AlertmanagerExporter::post(const std::vector<Told>& batch) {
  std::vector<AlertMessage> messages;
  for (const Told& one : batch) messages.push_back(one.message);
  return poster_->post(alertmanager_body(identity_, messages, wall_time_ns() + 4 * config_.resend_ms * 1'000'000));
}

// Takes note of what has become of one alert of a batch.
void AlertmanagerExporter::settle(const Told& one, Clock::time_point now, const PostResult& result) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(one.key);
  const bool is_latest = found->second.version == one.version;
  if (result.is_refused()) {
    ++dropped_;
    if (is_latest) entries_.erase(found);
  } else if (result.is_success()) {
    if (is_latest && one.as_over) {
      entries_.erase(found);
    } else if (!found->second.told || one.as_over) {
      found->second.told = now;
    }
  }
}

void AlertmanagerExporter::on_poll() { throw_failures(*thread_, "cannot tell exporters.alertmanager.url of an alert"); }

bool AlertmanagerExporter::has_news() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return is_changed_;
}

void AlertmanagerExporter::begin_stop() noexcept { thread_->begin_stop(kGrace); }

void AlertmanagerExporter::stop() noexcept {
  // What fires stays up for four times resend_ms, so that the end of a run does not take its alerts along.
  thread_->stop(kGrace, [this] { return !has_news(); });
  log_left(has_news() ? 1 : 0, " or more alerts could not be told to exporters.alertmanager.url");
}

std::uint64_t AlertmanagerExporter::dropped() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return dropped_;
}

CallbackExporter::CallbackExporter(std::shared_ptr<AlertCallback> callback) : shared_(std::make_shared<Shared>(std::move(callback))) {
  thread_ = std::make_unique<DeliveryThread>(
      "vigil-callback", [shared = shared_](DeliveryStatus& status) -> std::optional<DeliveryThread::Clock::time_point> {
        while (!status.must_stop()) {
          const auto message = shared->queue.front();
          if (message == nullptr) break;
          shared->queue.pop(message);  // first: what throws is not called again
          std::shared_ptr<const std::function<void(const AlertNotice&)>> call;
          {
            const std::lock_guard<std::mutex> lock(shared->callback->mutex);
            call = shared->callback->call;
          }
          if (call == nullptr) continue;
          try {
            (*call)(notice_of(*message));
          } catch (const std::exception& error) {
            status.note_failure(error.what());
          } catch (...) {
            status.note_failure("something that is no std::exception was thrown");
          }
        }
        return std::nullopt;
      });
}

void CallbackExporter::on_alert(const AlertMessage& message) {
  if (!message.has(AlertAction::callback)) return;
  shared_->queue.push(message);
  thread_->wake();
}

void CallbackExporter::on_poll() { throw_failures(*thread_, "the function given to on_alert() threw"); }

void CallbackExporter::begin_stop() noexcept { thread_->begin_stop(kGrace); }

void CallbackExporter::stop() noexcept {
  wait_for_call();
  log_left(shared_->queue.size(), " alerts were not given to the function of on_alert()");
}

void CallbackExporter::wait_for_call() noexcept {
  thread_->stop(kGrace, [this] { return shared_->queue.size() == 0; });
}

}  // namespace vigil
