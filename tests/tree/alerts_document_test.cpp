// The catalogue in docs/alerts.md is generated from config/rule_table.h. `VIGIL_REFRESH=1 ctest -R AlertsDocument` writes it anew.
#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tree/source_tree.h"
#include "vigil/config/rule_table.h"
#include "vigil/config/settings.h"

namespace vigil {
namespace {

std::string make_catalogue() {
  std::string out = "| rule | severity | holds for | fires when | numbers | what to try |\n|---|---|---|---|---|---|\n";
  for (const RuleRow& rule : kRules) {
    std::string holds = rule.for_steps > 0 ? std::to_string(rule.for_steps) + " steps" : "";
    if (rule.for_ms > 0) holds += (holds.empty() ? "" : " and ") + std::to_string(rule.for_ms / 1000) + " s";
    std::string numbers;
    for (const RuleParameter& parameter : rule.parameters) {
      if (parameter.name.empty()) continue;
      numbers += (numbers.empty() ? "" : "; ") + ("`" + std::string(parameter.name)) + ": " + config_reader::number_text(parameter.value) +
                 "`, " + std::string(parameter.what);
    }
    out += "| `" + std::string(rule.name) + "` | " + std::string(kSeverityNames[static_cast<std::size_t>(rule.severity)]) + " | " +
           (holds.empty() ? "-" : holds) + " | " + std::string(rule.fires) + " | " + numbers + " | " + std::string(rule.advice) + " |\n";
  }
  // A bar of mean of |g| would end a cell.
  for (std::size_t at = 0; (at = out.find("|g|", at)) != std::string::npos; at += 5) out.replace(at, 3, "\\|g\\|");
  return out;
}

TEST(AlertsDocument, HoldsTheCatalogueAsTheTableHasIt) {
  const std::string path = source_path("docs/alerts.md").string(), begin = "<!-- catalogue -->\n", end = "<!-- end of catalogue -->";
  std::string document = read_text(path);
  const std::size_t from = document.find(begin), to = document.find(end);
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  const std::size_t first = from + begin.size();
  if (std::getenv("VIGIL_REFRESH") != nullptr) {
    document.replace(first, to - first, make_catalogue());
    std::ofstream(path) << document;
  }
  EXPECT_EQ(document.substr(first, to - first), make_catalogue()) << "VIGIL_REFRESH=1 ctest -R AlertsDocument writes it anew";
}

}  // namespace
}  // namespace vigil
