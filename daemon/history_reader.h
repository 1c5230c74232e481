// The history of all runs of the host, read: by the threads of the HTTP server while the writer writes, or by a program after it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "vigil/history/run_history.h"
#include "vigil/history/step_columns.h"

namespace vigil {

class HistoryConnection;

struct HistoryReaderOptions {
  std::string path;
  std::chrono::milliseconds time_limit{2000};  ///< for one answer
};

struct StepsReply {
  std::int64_t attempt = 0;
  StepRows rows;                          ///< as they were stored, bit by bit
  std::vector<std::string> scalar_names;  ///< of the user scalars
  HistoryCursor next;
  std::uint64_t unreadable_steps = 0;
};

/// A connection for reading, opened when it is first needed, and again when another file has taken the place of the one that it knows. One
/// thread at a time; HistoryReaders has several. Each answer is of one moment. All methods throw HistoryError.
class HistoryReader final : public RunHistory {
 public:
  static constexpr std::size_t kMaxSteps = 20'000;

  explicit HistoryReader(HistoryReaderOptions options);
  ~HistoryReader() override;
  HistoryReader(HistoryReader&&) noexcept;
  HistoryReader& operator=(HistoryReader&&) noexcept;

  std::vector<HistoryRun> runs(std::size_t max_attempts = kMaxRuns) override;
  /// What the numbers of its records stand for: parameter groups, tensors. Not null.
  std::shared_ptr<const Schema> schema(const RunSelector& run);
  std::vector<SeriesName> series_names(const RunSelector& run) override;
  SeriesReply series(const SeriesRequest& request) override;
  /// Whole records, of at most `max_steps` steps after `since`.
  StepsReply steps(const RunSelector& run, const std::optional<HistoryCursor>& since = {}, std::size_t max_steps = 1000);
  HistoryFrame frame(const RunSelector& run, std::optional<std::uint64_t> step = {}) override;
  HistoryDistribution distribution(const RunSelector& run, TensorKind kind, const std::string& tensor,
                                   std::optional<std::uint64_t> step = {}) override;
  TensorSeriesReply tensor_series(const TensorSeriesRequest& request) override;
  HeatmapReply heatmap(const HeatmapRequest& request) override;
  EventsReply events(const EventsRequest& request) override;

 private:
  std::unique_ptr<HistoryConnection> connection_;
};

/// Several readers for several threads.
class HistoryReaders {
 public:
  /// Each takes some 2 MiB once it has been used.
  HistoryReaders(const HistoryReaderOptions& options, std::size_t count);

  /// Calls `work(HistoryReader&)` with one that no other thread has, after waiting for it as long as the time limit; returns what it
  /// returns. @throws HistoryError
  template <class Work>
  auto with_reader(Work work) {
    const Lease lease(*this);
    return work(*lease.reader);
  }

 private:
  struct Lease {
    explicit Lease(HistoryReaders& from) : readers(from), reader(from.take()) {}
    ~Lease() { readers.give_back(reader); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    HistoryReaders& readers;
    HistoryReader* reader;
  };
  HistoryReader* take();
  void give_back(HistoryReader* reader) noexcept;

  const std::chrono::milliseconds time_limit_;
  std::vector<HistoryReader> all_;
  std::mutex mutex_;
  std::condition_variable is_free_;
  std::vector<HistoryReader*> free_;
};

}  // namespace vigil
