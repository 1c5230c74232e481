// Step records as columns: the one table of them, rows that wait to become a block, and the block.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/history/column_codec.h"
#include "vigil/monitor/records.h"

namespace vigil {

/// One word of a StepRecord. Its number stands in databases: never give it to another.
struct StepColumn {
  std::uint16_t number = 0;
  std::string_view series = {};  ///< name of the series that it makes; empty: none
  std::string_view unit = {};    ///< "seconds", "bytes" or empty
  double scale = 1;              ///< makes the unit of an integer
  std::uint64_t needs = 0;       ///< StepRecord::Flag without which a record has no value; 0: it always has one
  ColumnKind kind = ColumnKind::integer;
  std::size_t word = 0;  ///< which of the record's
};

inline constexpr std::size_t kStepWords = sizeof(StepRecord) / 8;
const std::array<StepColumn, kStepWords>& step_columns() noexcept;
/// The column that makes the series `name`, or null.
const StepColumn* find_step_column(std::string_view name) noexcept;
/// The column of this number, or null: a learning rate or a user scalar.
const StepColumn* find_step_column(std::size_t number) noexcept;

// Numbers of columns: some that readers ask for, and where those beside the table begin.
inline constexpr std::size_t kStepNumber = 0, kTimeNumber = 1, kFlagsNumber = 2, kUserScalarsNumber = 21;
inline constexpr std::size_t kFirstScalarColumn = 128, kFirstRateColumn = 256;
static_assert(kFirstScalarColumn + ScalarNames::kCapacity <= kFirstRateColumn);

inline constexpr std::size_t kBlockSteps = 256;         ///< of a block that was full
inline constexpr std::size_t kMaxBlockSteps = 4096;     ///< of any block that is read
inline constexpr std::size_t kMaxLearningRates = 4096;  ///< of a run; more are not kept

/// Records with their scalars, in order: a row is the record's words, the learning rates, the user scalars. Scalars that a record does not
/// have (StepRecord::user_scalars) are 0.
class StepRows {
 public:
  explicit StepRows(std::size_t rates = 0) : rates_(rates) {}

  std::size_t size() const noexcept { return rows_; }
  std::size_t rates() const noexcept { return rates_; }
  std::size_t scalars() const noexcept { return scalars_; }
  const std::uint64_t* row(std::size_t i) const noexcept { return words_.data() + i * width(); }
  StepRecord record(std::size_t i) const noexcept;
  std::uint64_t step(std::size_t i) const noexcept;
  /// Value of user scalar `k`, which is below record(i).user_scalars; or learning rate `k`.
  double scalar(std::size_t i, std::size_t k) const noexcept { return double_of(row(i)[kStepWords + rates_ + k]); }
  double rate(std::size_t i, std::size_t k) const noexcept { return double_of(row(i)[kStepWords + k]); }

  /// `rates` are rates() doubles; of `scalars` there are record.user_scalars, of which at most `known` count.
  void add(const StepRecord& record, const double* rates, const double* scalars, std::size_t known);
  /// Behind what is there. @throws DamagedData when `other` has another number of rates
  void add(const StepRows& other);
  /// In place of the last row's scalars, which there is; nothing else of it changes.
  void set_scalars(const StepRecord& record, const double* rates, const double* scalars, std::size_t known);
  void remove_front(std::size_t count);
  /// Keeps at most the first `count`.
  void truncate(std::size_t count);
  void clear() noexcept;

  /// Packed and sealed, for read(). There is at least one row.
  std::string pack() const;
  /// What pack() has packed, or make_block(), whose axis is a set of its own. @throws DamagedData
  static StepRows read(std::string_view axis, std::string_view data, std::size_t steps, std::size_t rates);
  static StepRows read(std::string_view packed, std::size_t steps, std::size_t rates) { return read(packed, packed, steps, rates); }

 private:
  std::size_t width() const noexcept { return kStepWords + rates_ + scalars_; }
  void widen(std::size_t scalars);
  void put_scalars(const StepRecord& record, const double* rates, const double* scalars, std::size_t known);

  std::size_t rates_, scalars_ = 0, rows_ = 0;
  std::vector<std::uint64_t> words_;
};

/// What stands for a column of a block when nobody looks closer: places count from 0 in the block.
struct ColumnSummary {
  static constexpr std::uint16_t kNone = std::numeric_limits<std::uint16_t>::max();
  /// Of the finite values the first, the smallest, the largest and the last; then the first that is not finite.
  enum Which : std::size_t { first, smallest, largest, last, first_nonfinite, kWhich };

  std::uint16_t number = 0;                                                     ///< of the column
  std::uint16_t nonfinite = 0;                                                  ///< values that are NaN or infinite
  std::array<std::uint16_t, kWhich> places{kNone, kNone, kNone, kNone, kNone};  ///< by Which; kNone: there is no such value
  std::array<std::uint64_t, kWhich> words{};
};

/// Steps packed by columns.
struct StepBlock {
  std::uint64_t first_step = 0, last_step = 0;
  std::int64_t first_time_ns = 0, last_time_ns = 0;
  std::size_t steps = 0;
  std::uint64_t nonfinite = 0, first_nonfinite = 0, last_nonfinite = 0;  ///< steps with StepRecord::nonfinite: how many, and which
  std::string axis;                                                      ///< set of the columns step and wall_time_ns
  std::string summary;                                                   ///< of every series
  std::string data;                                                      ///< set of all other columns
};

/// Packs `count` rows from the first on, at least one and at most kMaxBlockSteps.
StepBlock make_block(const StepRows& rows, std::size_t count);

/// The summaries of a block's blob. @throws DamagedData
std::vector<ColumnSummary> read_summaries(std::string_view summary, std::size_t steps);

/// Whether a record with these flags has a value of the column.
inline bool has_value(const StepColumn& column, std::uint64_t flags) noexcept { return (flags & column.needs) == column.needs; }

/// Value of a column's word in its unit.
inline double value_of(const StepColumn& column, std::uint64_t word) noexcept {
  return column.kind == ColumnKind::integer ? static_cast<double>(word) * column.scale : double_of(word);
}

}  // namespace vigil
