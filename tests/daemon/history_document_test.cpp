// docs/history.md tells of the tables that there are, and its questions can be asked.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <sstream>
#include <string>
#include <vector>

#include "daemon/history_run.h"
#include "exporters/alert_message.h"
#include "files.h"
#include "vigil/daemon/history_writer.h"

namespace vigil {
namespace {

using namespace test;

class HistoryDocumentTest : public testing::Test {
 protected:
  void SetUp() override {
    HistoryOptions options;
    options.path = folder_.file("history.db");
    HistoryWriter writer(options);
    const Schema schema = make_history_schema();
    const RingKey key = writer.begin_ring(ring_id(1), schema, kNow).key;
    write_steps(writer, key, 5, 1, 300, 300, [](std::uint64_t seed, std::uint64_t step) { return make_plausible_step(seed, step, 100); });
    writer.begin(kNow);
    writer.add_frame(key, make_frame(schema, 1, 300).view());
    writer.add_event(key, make_event(300));
    AlertMessage alert = make_alert(300);
    alert.alert.time_ns = std::int64_t{1} << 62;
    writer.add_alert(key, alert);
    ASSERT_TRUE(writer.commit().ok());
    ASSERT_EQ(sqlite3_open(options.path.c_str(), &database_), SQLITE_OK);
  }
  void TearDown() override { sqlite3_close(database_); }

  // The first column of each row; an error fails the test.
  std::vector<std::string> ask(const std::string& sql) {
    std::vector<std::string> rows;
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(database_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK) << sql << ": " << sqlite3_errmsg(database_);
    int code = SQLITE_DONE;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
      rows.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(statement, 0)));
    EXPECT_EQ(code, SQLITE_DONE) << sql << ": " << sqlite3_errmsg(database_);
    sqlite3_finalize(statement);
    return rows;
  }

  TemporaryFolder folder_;
  sqlite3* database_ = nullptr;
  const std::string document_ = read_text(VIGIL_SOURCE_DIR "/docs/history.md");
};

TEST_F(HistoryDocumentTest, QuestionsFindSomething) {
  std::size_t questions = 0;
  for (std::size_t at = 0; (at = document_.find("```sql\n", at)) != std::string::npos; ++questions) {
    at += 7;
    const std::string sql = document_.substr(at, document_.find("```", at) - at);
    EXPECT_FALSE(ask(sql).empty()) << sql;
  }
  EXPECT_EQ(questions, 6u);
}

TEST_F(HistoryDocumentTest, EveryTableAndColumnIsDescribed) {
  for (const std::string& table : ask("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")) {
    // Its heading may name another table as well.
    std::size_t heading = document_.find("\n### " + table);
    if (heading == std::string::npos) heading = document_.find(", " + table + "\n");
    ASSERT_NE(heading, std::string::npos) << table;
    const std::string section = document_.substr(heading, document_.find("\n#", heading + 5) - heading);
    for (const std::string& column : ask("SELECT name FROM pragma_table_info('" + table + "')"))
      EXPECT_NE(section.find("`" + column + "`"), std::string::npos) << table << "." << column;
  }
}

}  // namespace
}  // namespace vigil
