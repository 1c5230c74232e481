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
  const auto [failures, reason] = thread.take_failures();
  if (failures > 0) throw std::runtime_error(what + ": " + reason);
}

std::string read_key(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream file(path);
  std::string key;
  if (!std::getline(file, key) || key.empty()) {
    throw std::runtime_error("cannot read a key from the first line of '" + path +
                             "'; set exporters.webhook.secret_file to a file that has one");
  }
  return key;
}

}  // namespace

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
    : config_(config), identity_(identity), key_(read_key(config.secret_file)), queue_(static_cast<std::size_t>(config.queue_size)) {
  thread_ = std::make_unique<DeliveryThread>("vigil-webhook", [this] { return deliver(); });
}

void WebhookExporter::on_alert(const AlertMessage& message) {
  if (!message.has(AlertAction::webhook)) return;
  queue_.push(message);
  thread_->wake();
}

std::optional<DeliveryThread::Clock::time_point> WebhookExporter::deliver() {
  if (poster_ == nullptr)
    poster_ = std::make_unique<HttpPoster>(config_.url, std::chrono::milliseconds(config_.timeout_ms), thread_->must_stop());
  while (const auto message = queue_.front()) {
    const std::string body = webhook_body(identity_, *message);
    std::vector<std::string> headers;
    if (!key_.empty()) headers.push_back("X-Vigil-Signature: sha256=" + hmac_sha256(key_, body));
    const PostResult result = poster_->post(body, headers);
    if (!result.is_success()) {
      thread_->note_failure(result.error);
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

void WebhookExporter::stop() noexcept {
  thread_->stop(kGrace, [this] { return queue_.size() == 0; });
  log_left(queue_.size(), " alerts could not be posted to exporters.webhook.url");
}

AlertmanagerExporter::AlertmanagerExporter(const AlertmanagerConfig& config, const RunIdentity& identity)
    : config_(config), identity_(identity) {
  thread_ = std::make_unique<DeliveryThread>("vigil-alertmgr", [this] { return deliver(); });
}

void AlertmanagerExporter::on_alert(const AlertMessage& message) {
  if (!message.has(AlertAction::alertmanager)) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Key key{message.alert.rule, std::string(message.alert.parameter.view()), std::string(message.alert.layer.view())};
    if (entries_.count(key) == 0 && entries_.size() >= kMaxAlerts) {
      ++dropped_;
      return;
    }
    Entry& entry = entries_[key];
    entry.message = message;
    entry.is_over = message.alert.state == AlertState::resolved;
    entry.version = ++versions_;
    is_changed_ = true;
  }
  thread_->wake();
}

std::optional<DeliveryThread::Clock::time_point> AlertmanagerExporter::deliver() {
  const std::chrono::milliseconds resend(config_.resend_ms);
  if (poster_ == nullptr) {
    std::string url = config_.url;
    while (url.back() == '/') url.pop_back();
    poster_ = std::make_unique<HttpPoster>(url + "/api/v2/alerts", std::chrono::milliseconds(config_.timeout_ms), thread_->must_stop());
  }
  struct Sent {
    Key key;
    std::uint64_t version;
    bool as_over;
  };
  std::vector<Sent> sent;
  std::vector<AlertMessage> messages;
  const Clock::time_point now = Clock::now();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (entries_.empty()) return std::nullopt;
    if (!is_changed_ && now < next_resend_) return next_resend_;
    for (const auto& [key, entry] : entries_) {
      const bool as_over = entry.is_over && entry.told && now - *entry.told >= resend;
      sent.push_back({key, entry.version, as_over});
      messages.push_back(entry.message);
      if (!as_over) messages.back().alert.state = AlertState::firing;
    }
  }
  const PostResult result = poster_->post(alertmanager_body(identity_, messages, wall_time_ns() + 4 * config_.resend_ms * 1'000'000));
  if (!result.is_success()) {
    thread_->note_failure(result.error);
    return Clock::now() + backoff_.next();
  }
  backoff_.reset();
  const std::lock_guard<std::mutex> lock(mutex_);
  is_changed_ = false;
  for (const Sent& one : sent) {
    const auto found = entries_.find(one.key);
    Entry& entry = found->second;
    if (entry.version != one.version) {
      is_changed_ = true;  // a new message came meanwhile
    } else if (one.as_over) {
      entries_.erase(found);
      continue;
    }
    if (!entry.told || one.as_over) entry.told = now;
  }
  next_resend_ = now + resend;
  if (entries_.empty()) return std::nullopt;
  return is_changed_ ? Clock::now() : next_resend_;
}

void AlertmanagerExporter::on_poll() { throw_failures(*thread_, "cannot tell exporters.alertmanager.url of an alert"); }

bool AlertmanagerExporter::has_news() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return is_changed_;
}

void AlertmanagerExporter::stop() noexcept {
  // What fires stays up for four times resend_ms, so that the end of a run does not take its alerts along.
  thread_->stop(kGrace, [this] { return !has_news(); });
  log_left(has_news() ? 1 : 0, " or more alerts could not be told to exporters.alertmanager.url");
}

std::uint64_t AlertmanagerExporter::dropped() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return dropped_;
}

CallbackExporter::CallbackExporter(std::shared_ptr<AlertCallback> callback) : callback_(std::move(callback)) {
  thread_ = std::make_unique<DeliveryThread>("vigil-callback", [this]() -> std::optional<DeliveryThread::Clock::time_point> {
    while (const auto message = queue_.front()) {
      queue_.pop(message);  // first: what throws is not called again
      std::shared_ptr<const std::function<void(const AlertNotice&)>> call;
      {
        const std::lock_guard<std::mutex> lock(callback_->mutex);
        call = callback_->call;
      }
      if (call == nullptr) continue;
      try {
        (*call)(notice_of(*message));
      } catch (const std::exception& error) {
        thread_->note_failure(error.what());
      } catch (...) {
        thread_->note_failure("something that is no std::exception was thrown");
      }
    }
    return std::nullopt;
  });
}

void CallbackExporter::on_alert(const AlertMessage& message) {
  if (!message.has(AlertAction::callback)) return;
  queue_.push(message);
  thread_->wake();
}

void CallbackExporter::on_poll() { throw_failures(*thread_, "the function given to on_alert() threw"); }

void CallbackExporter::stop() noexcept {
  thread_->stop(kGrace, [this] { return queue_.size() == 0; });
  log_left(queue_.size(), " alerts were not given to the function of on_alert()");
}

}  // namespace vigil
