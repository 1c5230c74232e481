// What the parts of HistoryReader share: the connection, its errors, and which ring is meant.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vigil/daemon/database.h"
#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/history_schema.h"
#include "vigil/history/column_codec.h"

namespace vigil {

/// A ring that is read.
struct ReadRing {
  std::int64_t row = 0, attempt = 0;
  std::uint64_t last_step = 0, revision = 0;
  bool has_ended = false;
};

class HistoryConnection {
 public:
  explicit HistoryConnection(HistoryReaderOptions options) : options_(std::move(options)) {}

  /// Runs `work` within a transaction, so that it sees one moment, and with the deadline. @throws HistoryError, whatever `work` throws of
  /// HistoryError, DatabaseError and DamagedData
  template <class Work>
  auto answer(Work work) {
    try {
      const Moment moment(*this);
      return work();
    } catch (const DatabaseError& error) {
      fail(error);
    } catch (const DamagedData& error) {
      throw HistoryError(HistoryError::Kind::damaged, "'" + options_.path + "' is damaged: " + error.what());
    }
  }

  // Within answer().
  Database& database() noexcept { return *database_; }
  /// Throws too_long past the deadline: for work that is not SQLite's.
  void check_time() const;
  /// @throws HistoryError not_found
  ReadRing ring(const RunSelector& run);
  /// The ring that `since` goes on in, and the step after which.
  ReadRing ring(const RunSelector& run, const std::optional<HistoryCursor>& since, std::uint64_t& after);
  /// Of the ring of this row.
  std::shared_ptr<const Schema> schema(std::int64_t row);
  std::vector<std::string> scalar_names(std::int64_t row);
  const HistoryReaderOptions& options() const noexcept { return options_; }

 private:
  // An open connection in a read transaction.
  struct Moment {
    explicit Moment(HistoryConnection& from);
    ~Moment();
    Moment(const Moment&) = delete;
    Moment& operator=(const Moment&) = delete;
    HistoryConnection& connection;
  };
  void open();
  [[noreturn]] void fail(const DatabaseError& error);
  std::optional<ReadRing> find_ring(const RunSelector& run, const char* which, std::int64_t attempt);

  HistoryReaderOptions options_;
  std::optional<Database> database_;
  std::pair<dev_t, ino_t> file_{};  // that database_ has open
  std::map<std::int64_t, std::shared_ptr<const Schema>> schemas_;
};

}  // namespace vigil
