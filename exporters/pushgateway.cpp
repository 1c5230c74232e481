#include "vigil/exporters/pushgateway.h"

#include <algorithm>
#include <exception>
#include <random>
#include <stdexcept>
#include <utility>

#include "vigil/config/url.h"
#include "vigil/exporters/base64.h"
#include "vigil/exporters/labels.h"
#include "vigil/exporters/logging.h"
#include "vigil/exporters/seconds.h"
#include "vigil/exporters/text_format.h"
#include "vigil/monitor/metric_table.h"

namespace vigil {
namespace {

using std::chrono::milliseconds;

void check(bool is_right, const char* what) {
  if (!is_right) throw std::invalid_argument(std::string("Pushgateway: ") + what);
}

PushgatewayOptions checked(PushgatewayOptions options) {
  while (!options.url.empty() && options.url.back() == '/') options.url.pop_back();
  check(Pushgateway::is_url(options.url), "expected a URL that begins with http:// or https://, such as http://127.0.0.1:9091");
  check(options.timeout >= milliseconds(100) && options.timeout <= std::chrono::minutes(10), "expected a timeout of 100 ms to 10 min");
  check(options.max_tries >= 1 && options.max_tries <= 1000, "expected 1 to 1000 tries");
  check(options.max_waiting >= 1 && options.max_waiting <= 100'000, "expected room for 1 to 100,000 messages");
  return options;
}

class ResultBuilder {
 public:
  explicit ResultBuilder(std::string run) : run_(std::move(run)) {}

  void add(ResultMetric metric, double value, std::vector<Label> labels = {}) {
    const MetricRow& row = metric_row(metric);
    if (families_.empty() || families_.back().name != row.name)
      families_.push_back({row.name, row.type, row.unit, std::string(row.help), {}, {}});
    labels.insert(labels.begin(), {"run", run_});
    families_.back().samples.push_back({make_labels(std::move(labels)), value});
  }
  void add(ResultMetric metric, std::uint64_t value, std::vector<Label> labels = {}) {
    add(metric, static_cast<double>(value), std::move(labels));
  }
  std::vector<Family>& families() noexcept { return families_; }

 private:
  const std::string run_;
  std::vector<Family> families_;
};

}  // namespace

std::vector<Family> make_result_families(const Snapshot& snapshot, RunEnd end, std::int64_t end_time_ns) {
  const RunIdentity& identity = snapshot.schema->identity;
  const RunTotals& totals = snapshot.step.totals;
  ResultBuilder builder(identity.run);
  builder.add(ResultMetric::info, 1.0,
              {{"model", identity.model},
               {"libtorch", identity.libtorch},
               {"host", identity.host},
               {"world_size", std::to_string(identity.world_size)},
               {"attempt", std::to_string(identity.attempt)}});
  for (std::size_t i = 0; i < kRunEndNames.size(); ++i)
    builder.add(ResultMetric::state, static_cast<std::size_t>(end) == i ? 1.0 : 0.0, {{"state", std::string(kRunEndNames[i])}});
  if (snapshot.loss) builder.add(ResultMetric::loss, *snapshot.loss);
  if (snapshot.gradient_norm) builder.add(ResultMetric::gradient_norm, *snapshot.gradient_norm);
  for (const auto& [name, value] : snapshot.user_scalars) builder.add(ResultMetric::user_scalar, value, {{"name", name}});
  builder.add(ResultMetric::steps, snapshot.has_step ? snapshot.step.step : std::uint64_t{0});
  builder.add(ResultMetric::examples, totals.examples);
  builder.add(ResultMetric::duration, to_seconds(end_time_ns - identity.start_time_ns));
  builder.add(ResultMetric::end_timestamp, to_seconds(end_time_ns));
  for (std::size_t i = 0; i < kNonfiniteInNames.size(); ++i) {
    const std::string tensor(kNonfiniteInNames[i]);
    builder.add(ResultMetric::nonfinite_values, totals.nonfinite_values[i].nan, {{"tensor", tensor}, {"value", "nan"}});
    builder.add(ResultMetric::nonfinite_values, totals.nonfinite_values[i].inf, {{"tensor", tensor}, {"value", "inf"}});
  }
  builder.add(ResultMetric::nonfinite_steps, totals.nonfinite_steps);
  builder.add(ResultMetric::skipped_steps, totals.skipped_steps, {{"reason", "nonfinite"}});
  builder.add(ResultMetric::rollbacks, totals.rollbacks);
  return std::move(builder.families());
}

std::string result_path(std::string_view run) {
  const std::string name = valid_utf8(run);
  const bool is_plain =
      name != "." && name != ".." && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
      });
  return is_plain ? "/metrics/job/" + name : "/metrics/job@base64/" + base64_url(name);
}

bool Pushgateway::is_url(std::string_view text) noexcept { return is_http_url(text, " \"<>\r\n\t?#"); }

Pushgateway::Pushgateway(PushgatewayOptions options)
    : options_(checked(std::move(options))), backoff_(milliseconds(250), std::chrono::seconds(15), std::random_device()()) {
  read_headers(options_.files);  // what is wrong there is to be known now
  thread_ = std::make_unique<DeliveryThread>("vigil-pushgw", [this](DeliveryStatus& status) { return deliver(status); });
}

Pushgateway::~Pushgateway() { stop(milliseconds(0)); }

void Pushgateway::put(const Snapshot& last, RunEnd end, std::int64_t end_time_ns) {
  const RunIdentity& identity = last.schema->identity;
  if (identity.rank != 0 || identity.run.empty()) return;
  Message message;
  message.run = identity.run;
  message.body = render_text(make_result_families(last, end, end_time_ns), TextFormat::prometheus);
  push(std::move(message));
}

void Pushgateway::remove(const RunIdentity& identity) {
  if (identity.rank != 0 || identity.run.empty()) return;
  Message message;
  message.run = identity.run;
  message.is_removal = true;
  push(std::move(message));
}

void Pushgateway::push(Message message) {
  message.path = result_path(message.run);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    message.number = ++numbers_;
    const auto earlier =
        std::find_if(messages_.begin(), messages_.end(), [&message](const Message& one) { return one.path == message.path; });
    if (earlier != messages_.end()) {
      ++counters_.replaced;
      messages_.erase(earlier);
    } else if (messages_.size() >= options_.max_waiting) {
      ++counters_.dropped;
      messages_.pop_front();
    }
    messages_.push_back(std::move(message));
  }
  thread_->wake();
}

PostResult Pushgateway::send(const Message& message, DeliveryStatus& status) {
  if (poster_ == nullptr) poster_ = std::make_unique<HttpPoster>(options_.url, options_.timeout, [&status] { return status.must_stop(); });
  HttpMessage request;
  request.method = message.is_removal ? "DELETE" : "PUT";
  request.path = message.path;
  request.content_type = content_type(TextFormat::prometheus);
  request.body = message.body;
  std::vector<std::string> headers;
  try {
    headers = read_headers(options_.files);
  } catch (const std::exception& error) {
    // A file that is being replaced is there again soon.
    return PostResult{0, error.what()};
  }
  return poster_->send(request, headers);
}

std::optional<DeliveryThread::Clock::time_point> Pushgateway::deliver(DeliveryStatus& status) {
  while (!status.must_stop()) {
    Message message;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (messages_.empty()) return std::nullopt;
      ++messages_.front().tries;
      message = messages_.front();
      if (message.tries > 1) ++counters_.retried;
    }
    const PostResult result = send(message, status);
    if (result.may_be_tried_again() && message.tries < options_.max_tries) {
      if (retry_gate_.open(LogGate::Time::clock::now()))
        log(LogLevel::warning, "Pushgateway: cannot tell it of run '" + message.run + "', trying again: " + result.reason());
      return DeliveryThread::Clock::now() + backoff_.next(result.retry_after);
    }
    backoff_.reset();
    settle(message, result);
  }
  return std::nullopt;
}

// Takes note of what has become of a message that needs no more tries.
void Pushgateway::settle(const Message& message, const PostResult& result) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (messages_.empty() || messages_.front().number != message.number) return;  // a later one took its place, which was counted
    messages_.pop_front();
    ++(result.is_success() ? counters_.sent : counters_.failed);
  }
  if (!result.is_success() && failure_gate_.open(LogGate::Time::clock::now()))
    log(LogLevel::error, "Pushgateway: what there is to tell of run '" + message.run + "' is given up after " +
                             std::to_string(message.tries) + " tries (further ones are logged once a minute): " + result.reason());
}

PushgatewayCounters Pushgateway::counters() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  PushgatewayCounters counters = counters_;
  counters.waiting = messages_.size();
  return counters;
}

void Pushgateway::begin_stop(milliseconds grace) noexcept { thread_->begin_stop(grace); }

void Pushgateway::stop(milliseconds grace) noexcept {
  thread_->stop(grace, [this] {
    const std::lock_guard<std::mutex> lock(mutex_);
    return messages_.empty();
  });
  std::size_t left = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    left = messages_.size();
    counters_.dropped += left;
    messages_.clear();
  }
  if (left == 0) return;
  try {
    log(LogLevel::error, "Pushgateway: " + std::to_string(left) + " messages could not be sent before the end");
  } catch (...) {
    // No memory for the text.
  }
}

}  // namespace vigil
