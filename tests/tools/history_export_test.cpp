// `vigil export --storage.path`: the same names as out of a ring file, and its events.
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include <nlohmann/json.hpp>

#include "daemon/history_run.h"
#include "files.h"
#include "vigil/tools/history_source.h"
#include "vigil/tools/run_json.h"

namespace vigil::tools {
namespace {

using namespace vigil::test;
using nlohmann::json;

class HistoryExport : public testing::Test {
 protected:
  HistoryExport() {
    HistoryOptions options;
    options.path = path_;
    HistoryWriter writer(options);
    const Schema schema = make_history_schema();
    const RingKey key = writer.begin_ring(ring_id(1), schema, kNow).key;
    write_steps(writer, key, 1, 1, 20, 100, [](std::uint64_t seed, std::uint64_t step) { return make_plausible_step(seed, step); });
    writer.begin(kNow);
    for (const std::uint64_t step : {5, 12}) writer.add_event(key, make_event(step));
    writer.set_state(key, "finished", "", kNow);
    EXPECT_TRUE(writer.commit().ok());
    rank_ = schema.identity.rank;
  }
  std::string exported(ExportFormat format) const {
    ExportOptions options;
    options.format = format;
    std::ostringstream out, err;
    EXPECT_EQ(export_run(history_source(path_, "mnist", rank_), options, out, err), 0) << err.str();
    return out.str();
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.file("history.db");
  int rank_ = 0;
};

TEST_F(HistoryExport, NamesTheParameterGroups) {
  const std::string csv = exported(ExportFormat::csv);
  EXPECT_NE(csv.find("learning_rate:generator/0,learning_rate:critic/0"), std::string::npos) << csv.substr(0, csv.find('\n'));
  EXPECT_NE(exported(ExportFormat::openmetrics).find("group=\"critic/0\""), std::string::npos);
}

TEST_F(HistoryExport, HasTheEventsAndTheSchema) {
  const json run = json::parse(exported(ExportFormat::json));
  EXPECT_EQ(run.at("steps").size(), 20u);
  ASSERT_EQ(run.at("events").size(), 2u);
  EXPECT_EQ(run.at("events").at(1), json::parse(json_of_event(make_event(12))));
  EXPECT_EQ(run.at("run").at("groups"), json({"generator/0", "critic/0"}));
}

// What is said of a file that cannot be read.
std::string refusal(const std::string& path) {
  try {
    history_source(path, "mnist", 0);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST_F(HistoryExport, SaysInOneSentenceWhatIsWrongWithTheFile) {
  const std::string text = folder_.write("passwd", "root:x:0:0:root:/root:/bin/bash\n").string();
  EXPECT_EQ(refusal(text), "'" + text + "' is not a history of vigild");
  // All behind the first page, which says what it is.
  std::string bytes = read_text(path_);
  ASSERT_GT(bytes.size(), 8192u);
  for (std::size_t i = 4096; i < bytes.size(); ++i) bytes[i] = static_cast<char>(0xA5);
  const std::string damaged = folder_.write("damaged.db", bytes).string();
  EXPECT_EQ(refusal(damaged), "'" + damaged + "' is damaged: database disk image is malformed; vigild puts it aside when it starts");
}

}  // namespace
}  // namespace vigil::tools
