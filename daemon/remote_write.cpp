#include "vigil/daemon/remote_write.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <random>
#include <set>
#include <stdexcept>
#include <string_view>

#include "vigil/config/url.h"
#include "vigil/exporters/http_post.h"
#include "vigil/exporters/logging.h"
#include "vigil/monitor/metric_table.h"

namespace vigil {
namespace {

using std::chrono::milliseconds;

void check(bool is_right, const std::string& what) {
  if (!is_right) throw std::invalid_argument("remote write: " + what);
}

bool is_label_name(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && is_letter(name.front()) && name.substr(0, 2) != "__" &&
         std::all_of(name.begin(), name.end(), [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

// Names that labels of metrics have already.
std::set<std::string> own_label_names() {
  std::set<std::string> names{"run", "rank", "parameter", "layer", "le"};
  const auto add = [&names](std::string_view list) {
    while (!list.empty()) {
      const std::size_t comma = std::min(list.find(','), list.size());
      names.emplace(list.substr(0, comma));
      list.remove_prefix(std::min(comma + 1, list.size()));
    }
  };
  for (const MetricRow& row : kMetrics) add(row.labels);
  for (const TensorMetricRow& row : kTensorMetrics) add(row.label);
  return names;
}

RemoteWriteOptions checked(RemoteWriteOptions options) {
  check(RemoteWrite::is_url(options.url),
        "expected a URL that begins with http:// or https://, such as http://127.0.0.1:9090/api/v1/write");
  check(options.timeout >= milliseconds(100) && options.timeout <= std::chrono::minutes(10), "expected a timeout of 100 ms to 10 min");
  check(options.interval >= milliseconds(10) && options.interval <= std::chrono::minutes(10), "expected an interval of 10 ms to 10 min");
  check(options.resolution >= milliseconds(1) && options.resolution <= std::chrono::hours(1), "expected a resolution of 1 ms to 1 h");
  check(options.max_samples >= 1 && options.max_samples <= 100'000, "expected 1 to 100,000 samples in a request");
  check(options.queue_bytes >= (std::size_t{64} << 10) && options.queue_bytes <= (std::size_t{16} << 30),
        "expected a queue of 64 KiB to 16 GiB");
  const std::set<std::string> taken = own_label_names();
  std::set<std::string> seen;
  for (const Label& label : options.labels) {
    check(is_label_name(label.name), "expected a label's name of letters, digits and underscores, got '" + valid_utf8(label.name) + "'");
    check(taken.count(label.name) == 0, "the label '" + label.name + "' is one that vigil sets itself; take another name");
    check(seen.insert(label.name).second, "the label '" + label.name + "' is given twice");
  }
  return options;
}

WriteSenderOptions sender_options(const RemoteWriteOptions& options) {
  WriteSenderOptions made;
  made.max_samples = options.max_samples;
  made.interval = options.interval;
  made.backoff = Backoff(milliseconds(250), std::chrono::seconds(15), std::random_device()());
  return made;
}

}  // namespace

// What the thread works with.
struct RemoteWrite::Shared {
  explicit Shared(const RemoteWriteOptions& options)
      : queue(options.queue_bytes),
        files(options.files),
        poster(options.url, options.timeout, [this] { return status != nullptr && status->must_stop(); }),
        sender(
            queue, sender_options(options), [this](const std::string& body) { return post(body); },
            [] { return WriteSender::Clock::now(); }) {}

  PostResult post(const std::string& body) {
    std::vector<std::string> headers = write_headers();
    try {
      for (std::string& header : read_headers(files)) headers.push_back(std::move(header));
    } catch (const std::exception& error) {
      // A file that is being replaced is there again soon.
      return PostResult{0, error.what()};
    }
    HttpMessage message;
    message.content_type = kWriteContentType;
    message.body = body;
    return poster.send(message, headers);
  }

  std::optional<DeliveryStatus::Clock::time_point> work(DeliveryStatus& its_status) {
    try {
      return sender.work(is_stopping.load(std::memory_order_relaxed), [&its_status] { return its_status.must_stop(); });
    } catch (const std::exception& error) {  // no memory: what is on its way stays there
      const auto now = DeliveryStatus::Clock::now();
      if (failure_gate.open(now)) log(LogLevel::error, "remote write: " + std::string(error.what()) + "; trying again");
      return now + std::chrono::seconds(1);
    }
  }

  SampleQueue queue;
  const HeaderFiles files;
  const DeliveryStatus* status = nullptr;  // of the thread
  HttpPoster poster;
  WriteSender sender;
  LogGate failure_gate;
  std::atomic<bool> is_stopping{false};  // relaxed: a lone flag; wake() orders it
};

bool RemoteWrite::is_url(std::string_view text) noexcept { return is_http_url(text, " \"<>\r\n\t"); }

RemoteWrite::RemoteWrite(RemoteWriteOptions options) : options_(checked(std::move(options))), shared_(std::make_unique<Shared>(options_)) {
  read_headers(options_.files);  // what is wrong there is to be known now
  thread_ = std::make_unique<DeliveryThread>("vigil-write", [shared = shared_.get()](DeliveryStatus& status) {
    shared->status = &status;
    return shared->work(status);
  });
}

RemoteWrite::~RemoteWrite() { stop(milliseconds(0)); }

std::unique_ptr<RunSamples> RemoteWrite::begin_run(std::shared_ptr<const Schema> schema, const RunCursor& after) {
  const std::pair<std::string, int> key{schema->identity.run, schema->identity.rank};
  if (runs_.count(key) == 0 && runs_.size() >= kMaxRuns) {
    const auto has_ended = [](const auto& run) { return run.second.steps.use_count() == 1 && run.second.frames.use_count() == 1; };
    const auto forgotten = std::find_if(runs_.begin(), runs_.end(), has_ended);
    if (forgotten != runs_.end()) runs_.erase(forgotten);
  }
  RunProgress& progress = runs_[key];
  const auto resume = [](SampleProgress& of, std::int64_t after_ms) {
    of.queued_ms = std::max(of.queued_ms, after_ms);
    of.finish(after_ms);
  };
  resume(*progress.steps, after.steps_ms);
  resume(*progress.frames, after.frames_ms);
  RunSamplesOptions options;
  options.labels = options_.labels;
  options.resolution_ms = options_.resolution.count();
  options.tensors = options_.tensors;
  options.series = options_.series;
  return std::make_unique<RunSamples>(std::move(schema), std::move(options), progress, after, losses_, [this](SampleBlock block) {
    const std::size_t samples = block.values.size();
    const auto [waiting, dropped] = shared_->queue.push(std::move(block));
    if (dropped > 0 && full_gate_.open(LogGate::Time::clock::now()))
      log(LogLevel::error, "remote write: the queue of " + std::to_string(options_.queue_bytes >> 10) +
                               " KiB is full, the oldest samples are dropped until the receiver takes some; raise the bound on the queue");
    // What makes a batch full, or is the first to wait for the interval.
    if (waiting == samples || (waiting >= options_.max_samples && waiting - samples < options_.max_samples)) thread_->wake();
  });
}

RemoteWriteCounters RemoteWrite::counters() const {
  const WriteCounters of_sender = shared_->sender.counters();
  RemoteWriteCounters counters;
  counters.sent = of_sender.sent;
  counters.failed = of_sender.failed;
  counters.retried = of_sender.retried;
  counters.requests = of_sender.requests;
  counters.highest_timestamp_ms = of_sender.highest_timestamp_ms;
  counters.dropped = shared_->queue.dropped() + of_sender.abandoned;
  counters.queued_bytes = shared_->queue.bytes();
  counters.queued = of_sender.in_flight + of_sender.waiting;
  // relaxed: see SampleLosses.
  counters.replaced = losses_->replaced.load(std::memory_order_relaxed);
  counters.out_of_order = losses_->out_of_order.load(std::memory_order_relaxed);
  return counters;
}

void RemoteWrite::begin_stop(milliseconds grace) noexcept {
  shared_->is_stopping.store(true, std::memory_order_relaxed);
  thread_->begin_stop(grace);
}

void RemoteWrite::stop(milliseconds grace) noexcept {
  begin_stop(grace);
  thread_->stop(grace, [this] { return shared_->sender.is_idle(); });
  try {
    if (const std::size_t left = shared_->sender.abandon(); left > 0)
      log(LogLevel::error, "remote write: " + std::to_string(left) + " samples could not be sent before the end");
  } catch (...) {
    // No memory for the text.
  }
}

}  // namespace vigil
