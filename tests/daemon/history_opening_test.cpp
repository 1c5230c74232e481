// What the file of the history may be when it is opened, and what becomes of one that is damaged.
#include "vigil/daemon/history_opening.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/history_run.h"
#include "exporters/captured_log.h"
#include "files.h"
#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/history_schema.h"
#include "vigil/daemon/history_writer.h"

namespace vigil {
namespace {

using namespace test;
namespace fs = std::filesystem;

HistoryOptions options_at(const std::string& path) {
  HistoryOptions options;
  options.path = path;
  return options;
}

// What opening says; empty when it opens.
std::string refusal(const std::string& path) {
  try {
    HistoryWriter writer(options_at(path));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

void execute(const std::string& path, const std::string& sql) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
  sqlite3_close(database);
}

// Databases that were put aside, without their logs.
std::vector<fs::path> put_aside(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.find(".damaged-") != std::string::npos && name.back() == 'Z') found.push_back(entry.path());
  }
  return found;
}

// A history with something in every table, closed as a whole.
void make_history(const std::string& path) {
  HistoryWriter writer(options_at(path));
  const Schema schema = make_history_schema("mnist", 20);
  const RingKey key = writer.begin_ring(ring_id(1), schema, kNow).key;
  write_steps(writer, key, 5, 1, 700, 90);
  for (std::uint64_t step = 1000; step <= 6000; step += 1000) {
    writer.begin(kNow);
    writer.add_frame(key, make_frame(schema, 3, step).view());
    writer.add_event(key, make_event(step));
    ASSERT_TRUE(writer.commit().ok());
  }
}

// Asks everything; errors are answers too.
void ask_everything(HistoryReader& reader) {
  const RunSelector run{"mnist", 1};
  const auto ask = [](auto question) {
    try {
      question();
    } catch (const HistoryError&) {
    }
  };
  ask([&] { reader.runs(); });
  ask([&] { reader.series_names(run); });
  ask([&] { reader.series(series_of(run, {"loss", "examples", "user_scalar[entropy]"})); });
  ask([&] {
    SeriesRequest request = series_of(run, {"loss", "examples", "user_scalar[entropy]"});
    request.max_points = 20;
    reader.series(request);
  });
  ask([&] { reader.steps(run, {}, 10'000); });
  ask([&] { reader.frame(run); });
  ask([&] { reader.distribution(run, TensorKind::parameter, "layer0.weight"); });
  ask([&] { reader.tensor_series(tensor_series_of(run, TensorKind::gradient, "layer0.weight", "mean")); });
  ask([&] { reader.events({}); });
}

TEST(HistoryOpening, MakesAFileThatOthersMayNotRead) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  HistoryWriter writer(options_at(path));
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777 & ~umask(0), status.st_mode & 07777);
  EXPECT_EQ(status.st_mode & 07, 0u);
  ASSERT_EQ(stat((path + "-wal").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07, 0u);
  EXPECT_EQ(count_of(path, "PRAGMA application_id"), kHistoryApplicationId);
  EXPECT_EQ(count_of(path, "PRAGMA user_version"), kHistoryVersion);
  EXPECT_EQ(count_of(path, "PRAGMA auto_vacuum"), 2);
}

TEST(HistoryOpening, SaysWhatToDoWhereItCannotBe) {
  const TemporaryFolder folder;
  const std::string absent = folder.file("none/history.db");
  EXPECT_EQ(refusal(absent),
            "cannot keep the history in '" + absent + "': its folder does not exist; make it, or give another with --storage.path");
  EXPECT_NE(refusal("/sys/vigil-history.db").find("; let this user write the file and its folder, or give another with --storage.path"),
            std::string::npos)
      << refusal("/sys/vigil-history.db");
  EXPECT_EQ(refusal("/proc/vigil-history.db"),
            "cannot keep the history in '/proc/vigil-history.db': no files can be made in its folder;"
            " give another file with --storage.path");
  fs::create_directory(folder.path() / "folder.db");
  EXPECT_NE(refusal(folder.file("folder.db")).find("it is no file; give another file with --storage.path"), std::string::npos);
  make_history(folder.file("history.db"));
  fs::create_symlink("history.db", folder.path() / "link.db");
  EXPECT_NE(refusal(folder.file("link.db")).find("it is a symbolic link"), std::string::npos);
}

TEST(HistoryOpening, LeavesFilesOfOthersAlone) {
  const TemporaryFolder folder;
  const std::string text = folder.write("notes.db", std::string(5000, 'x')).string(), foreign = folder.file("foreign.db");
  EXPECT_NE(refusal(text).find("it is no database; give another file"), std::string::npos) << refusal(text);
  EXPECT_EQ(read_text(text), std::string(5000, 'x'));
  execute(foreign, "CREATE TABLE notes(text); PRAGMA application_id = 7");
  EXPECT_NE(refusal(foreign).find("it is a database of another program; give another file"), std::string::npos);
  execute(foreign, "PRAGMA application_id = 0");
  EXPECT_NE(refusal(foreign).find("it is a database of another program; give another file"), std::string::npos);
  EXPECT_TRUE(put_aside(folder.path()).empty());
  EXPECT_FALSE(fs::exists(text + ".lock") || fs::exists(foreign + ".lock")) << "nothing is left of a wrong path";
}

TEST(HistoryOpening, LeavesTheHistoryOfANewerVigildAlone) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  make_history(path);
  execute(path, "PRAGMA user_version = 2");
  EXPECT_NE(refusal(path).find("a newer vigild has written it (version 2, this one knows 1); start that one, or give another file"),
            std::string::npos)
      << refusal(path);
  EXPECT_TRUE(put_aside(folder.path()).empty());
  HistoryReader reader({path});
  EXPECT_THROW(reader.runs(), HistoryError);
}

TEST(HistoryOpening, TwoVigildsDoNotShareOne) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  auto writer = std::make_unique<HistoryWriter>(options_at(path));
  EXPECT_NE(refusal(path).find("another vigild keeps its history there; end that one"), std::string::npos) << refusal(path);
  writer.reset();
  EXPECT_EQ(refusal(path), "");
}

TEST(HistoryOpening, AFileThatWasBegunOnlyIsTakenForANewOne) {
  const TemporaryFolder folder;
  EXPECT_EQ(refusal(folder.write("empty.db", "").string()), "");
  const std::string path = folder.file("begun.db");
  execute(path, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL");
  EXPECT_EQ(refusal(path), "");
  make_history(path);
}

TEST(HistoryOpening, ADamagedHistoryIsPutAsideAndANewOneBegun) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  make_history(path);
  const std::string whole = read_text(path);
  fs::resize_file(path, fs::file_size(path) / 2);
  const std::string damaged = read_text(path);
  CapturedLog log;
  HistoryWriter writer(options_at(path));
  EXPECT_EQ(writer.counters().put_aside, 1u);
  EXPECT_EQ(log.count("is damaged"), 1u);
  EXPECT_EQ(log.count("a new one is begun"), 1u);
  const auto aside = put_aside(folder.path());
  ASSERT_EQ(aside.size(), 1u);
  EXPECT_EQ(read_text(aside[0]), damaged) << "as it was";
  EXPECT_EQ(writer.begin_ring(ring_id(1), make_history_schema("mnist", 20), kNow).cursors.steps, 0u);
  EXPECT_EQ(HistoryReader({path}).runs().size(), 1u);
}

TEST(HistoryOpening, AHistoryWithoutOneOfItsTablesIsDamaged) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  make_history(path);
  execute(path, "DROP TABLE step_tail");
  HistoryOptions options = options_at(path);
  options.check_bytes = 0;
  HistoryWriter writer(options);
  EXPECT_EQ(writer.counters().put_aside, 1u);
}

TEST(HistoryOpening, AFileOfAnyLengthOpensOrIsToldToBeDamaged) {
  const TemporaryFolder all;
  make_history(all.file("whole.db"));
  const std::string whole = read_text(all.file("whole.db"));
  CapturedLog log;
  for (std::size_t length = 0; length < whole.size(); length += length < 200 ? 1 + length / 8 : 9001) {
    const TemporaryFolder folder;
    const std::string path = folder.write("history.db", whole.substr(0, length)).string();
    HistoryReader reader({path});
    ask_everything(reader);
    const std::string told = refusal(path);
    // SQLite takes a file of one byte for one without any.
    if (length <= 1 || length >= 100) {
      EXPECT_EQ(told, "") << length;
    } else {
      EXPECT_NE(told.find("it is no database"), std::string::npos) << length << ": " << told;
    }
    ask_everything(reader);
  }
}

// Random bytes over each page in turn. SQLite's own structures are found when the file is opened, what is in the blobs by their checksums.
TEST(HistoryOpening, RandomBytesInAnyPageAreToldAndCrashNothing) {
  const TemporaryFolder all;
  make_history(all.file("whole.db"));
  const std::string bytes = read_text(all.file("whole.db"));
  CapturedLog log;
  std::vector<StepRecord> records;
  for (std::uint64_t step = 1; step <= 700; ++step) records.push_back(make_step(5, step).record);
  std::mt19937_64 random(1);
  std::size_t opened = 0, aside = 0, refused = 0, unreadable = 0;
  for (std::size_t page = 0; page < bytes.size() / 4096; ++page) {
    std::string damaged = bytes;
    // All of the page, or a few bytes of it.
    const std::size_t count = page % 2 == 0 ? 4096 : 40;
    for (std::size_t i = 0; i < count; ++i) damaged[page * 4096 + random() % 4096] = static_cast<char>(random());
    const TemporaryFolder folder;
    const std::string path = folder.write("history.db", damaged).string();
    HistoryReader reader({path});
    ask_everything(reader);
    HistoryOptions options = options_at(path);
    options.check_bytes = page % 3 == 0 ? 0 : options.check_bytes;
    try {
      HistoryWriter writer(options);
      const bool is_new = writer.counters().put_aside > 0;
      (is_new ? aside : opened) += 1;
      ask_everything(reader);
      if (!is_new) {
        // What is read is what was written, or is left out.
        try {
          const StepsReply reply = reader.steps({"mnist", 1}, {}, 10'000);
          unreadable += reply.unreadable_steps > 0;
          for (std::size_t i = 0; i < reply.rows.size(); ++i) {
            const std::uint64_t step = reply.rows.step(i);
            ASSERT_TRUE(step >= 1 && step <= 700 && is_same(reply.rows.record(i), records[step - 1])) << page << " " << step;
          }
        } catch (const HistoryError&) {
        }
        // Writing goes on, or the file is put aside now.
        const RingKey key = writer.begin_ring(ring_id(1), make_history_schema("mnist", 20), kNow).key;
        writer.begin(kNow);
        for (std::uint64_t step = 701; step <= 1000; ++step) {
          const MadeStep made = make_step(5, step);
          writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
        }
        writer.commit();
        writer.retain(kNow + 20 * 24 * 3600 * kSecond, std::chrono::milliseconds(5000));
      }
    } catch (const std::runtime_error&) {
      ++refused;
    } catch (const std::invalid_argument&) {
      ++refused;  // a name was hit: the ring is not the one that the history has
    }
  }
  RecordProperty("opened", static_cast<int>(opened));
  RecordProperty("put_aside", static_cast<int>(aside));
  RecordProperty("refused", static_cast<int>(refused));
  EXPECT_GT(opened, 10u) << "pages of blobs";
  EXPECT_GT(aside, 10u);
  EXPECT_GT(unreadable, 0u);
  EXPECT_GT(log.count("*** in database main ***"), 0u) << "what SQLite says in several lines";
  EXPECT_EQ(log.count("\n"), 0u);
}

TEST(HistoryOpening, DamageThatShowsLaterPutsTheFileAsideAndReadersFollow) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  make_history(path);
  HistoryReader reader({path});
  EXPECT_EQ(reader.runs().size(), 1u);
  {
    // The page on which the index of blocks begins, which a check of the small tables does not see.
    const std::int64_t page = count_of(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'step_blocks_by_ring'");
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp((page - 1) * 4096);
    file << std::string(4096, '\x5a');
  }
  CapturedLog log;
  HistoryOptions options = options_at(path);
  options.check_bytes = 0;
  auto writer = std::make_unique<HistoryWriter>(options);
  EXPECT_EQ(writer->counters().put_aside, 0u);
  const Schema schema = make_history_schema("mnist", 20);
  const RingKey key = writer->begin_ring(ring_id(1), schema, kNow).key;
  HistoryOutcome outcome;
  for (std::uint64_t step = 701; step < 1700 && outcome.ok(); ++step) {
    writer->begin(kNow);
    const MadeStep made = make_step(5, step);
    writer->add_step(key, made.record, made.scalars.data(), made_scalar_names());
    outcome = writer->commit();
  }
  ASSERT_EQ(outcome.kind, HistoryOutcome::Kind::damaged) << outcome.reason;
  EXPECT_EQ(log.count("a new one is begun"), 1u);
  EXPECT_EQ(writer->counters().put_aside, 1u);
  EXPECT_EQ(writer->counters().failures, 1u);
  EXPECT_FALSE(put_aside(folder.path()).empty());
  // This one does nothing any more, and says so.
  writer->begin(kNow);
  EXPECT_EQ(writer->commit().kind, HistoryOutcome::Kind::damaged);
  EXPECT_EQ(writer->retain(kNow).kind, HistoryOutcome::Kind::damaged);
  EXPECT_THROW(writer->begin_ring(ring_id(2), schema, kNow), std::runtime_error);
  EXPECT_EQ(writer->counters().put_aside, 1u);

  writer.reset();
  writer = std::make_unique<HistoryWriter>(options);
  write_steps(*writer, writer->begin_ring(ring_id(1), schema, kNow).key, 5, 1, 600);
  const StepsReply reply = reader.steps({"mnist", 1}, {}, 10'000);
  EXPECT_EQ(reply.rows.size(), 600u) << "of the new file";
  writer.reset();
  EXPECT_EQ(HistoryReader({path}).steps({"mnist", 1}, {}, 10'000).rows.size(), 600u)
      << "closing the readers of the old file takes nothing from the new one";
}

}  // namespace
}  // namespace vigil
