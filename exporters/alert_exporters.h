// Who is told of alerts: a webhook, Alertmanager, the program's own function.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "vigil/exporters/delivery_thread.h"
#include "vigil/exporters/exporter.h"
#include "vigil/exporters/http_post.h"

namespace vigil {

/// Messages that wait for a receiver, in order. When as many wait as there is room for, the oldest is dropped.
class AlertQueue {
 public:
  explicit AlertQueue(std::size_t capacity) : capacity_(capacity) {}
  void push(const AlertMessage& message);
  /// The oldest; null when there is none. It stays until pop().
  std::shared_ptr<const AlertMessage> front() const;
  /// Takes `message` out, if it is still the oldest.
  void pop(const std::shared_ptr<const AlertMessage>& message);
  std::size_t size() const;
  std::uint64_t dropped() const;
  /// Likewise, and counts it.
  void drop(const std::shared_ptr<const AlertMessage>& message);

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<const AlertMessage>> messages_;
  std::uint64_t dropped_ = 0;
};

/// The first line of the file, with which a webhook signs; empty without a path.
/// @throws std::runtime_error that names the setting when there is none to be had
std::string read_signing_key(const std::string& path);

/// Posts each alert with the action `webhook` as JSON (docs/alerts.md), in order. What the receiver does not take is tried again, after
/// half a second, later up to 15 s, until it is, or until queue_size newer ones wait. An answer of 4xx that says that it never will drops
/// it.
class WebhookExporter final : public Exporter {
 public:
  /// @throws std::runtime_error that names the setting when the file of the key cannot be read
  WebhookExporter(const WebhookConfig& config, const RunIdentity& identity);
  void on_alert(const AlertMessage& message) override;
  /// @throws std::runtime_error with what failed since the last call
  void on_poll() override;
  void begin_stop() noexcept override;
  /// Waits up to three seconds since begin_stop() for what is pending, the last of them for a post that is to end; logs what is left.
  void stop() noexcept override;
  std::uint64_t dropped() const override { return queue_.dropped(); }

 private:
  std::optional<DeliveryThread::Clock::time_point> deliver(DeliveryStatus& status);

  const WebhookConfig config_;
  const RunIdentity identity_;
  std::string key_;
  AlertQueue queue_;
  Backoff backoff_;
  std::unique_ptr<HttpPoster> poster_;      // of the thread
  std::unique_ptr<DeliveryThread> thread_;  // last: it uses the others
};

/// Tells Alertmanager (API v2) of all alerts with the action `alertmanager` that fire, in one request, when one begins and every resend_ms,
/// and of those that are over. One that is over sooner than Alertmanager's grouping would have told of it is kept up for resend_ms. What
/// cannot be told is tried again, as the webhook does. An answer of 4xx that refuses a request for good has each alert of it sent by
/// itself; those that are refused again are dropped and counted.
class AlertmanagerExporter final : public Exporter {
 public:
  AlertmanagerExporter(const AlertmanagerConfig& config, const RunIdentity& identity);
  void on_alert(const AlertMessage& message) override;
  void on_poll() override;
  void begin_stop() noexcept override;
  void stop() noexcept override;
  std::uint64_t dropped() const override;

  /// Alerts that are kept, at most.
  static constexpr std::size_t kMaxAlerts = 1024;

 private:
  using Clock = DeliveryThread::Clock;
  struct Entry {
    AlertMessage message;
    std::optional<Clock::time_point> told;  // first, as firing
    bool is_over = false;
    std::uint64_t version = 0;  // changes with each message
  };
  using Key = std::tuple<std::size_t, std::string, std::string, std::string>;  // rule, parameter, layer, subject

  // What was posted of an entry.
  struct Told {
    Key key;
    std::uint64_t version;
    bool as_over;
    AlertMessage message;
  };

  std::optional<Clock::time_point> deliver(DeliveryStatus& status);
  PostResult post(const std::vector<Told>& batch);
  void settle(const Told& one, Clock::time_point now, const PostResult& result);
  bool has_news() const;

  const AlertmanagerConfig config_;
  const RunIdentity identity_;
  mutable std::mutex mutex_;
  std::map<Key, Entry> entries_;
  bool is_changed_ = false;
  std::uint64_t dropped_ = 0, versions_ = 0;
  Clock::time_point next_resend_{};
  Backoff backoff_;
  std::unique_ptr<HttpPoster> poster_;
  std::unique_ptr<DeliveryThread> thread_;
};

/// Calls the program's function for each alert with the action `callback`, on a thread of its own. The function may end the run, even
/// destroy all of this: its thread is then not waited for, and ends when it returns.
class CallbackExporter final : public Exporter {
 public:
  explicit CallbackExporter(std::shared_ptr<AlertCallback> callback);
  void on_alert(const AlertMessage& message) override;
  void on_poll() override;
  void begin_stop() noexcept override;
  void stop() noexcept override;
  bool is_calling() const noexcept override { return thread_->is_current(); }
  void wait_for_call() noexcept override;
  std::uint64_t dropped() const override { return shared_->queue.dropped(); }

 private:
  // Also of the thread, which may outlive this.
  struct Shared {
    explicit Shared(std::shared_ptr<AlertCallback> its_callback) : callback(std::move(its_callback)) {}
    const std::shared_ptr<AlertCallback> callback;
    AlertQueue queue{1000};
  };

  const std::shared_ptr<Shared> shared_;
  std::unique_ptr<DeliveryThread> thread_;
};

}  // namespace vigil
