// The landing page: figures, links, and nothing from the run that a browser would run.
#include "vigil/exporters/landing_page.h"

#include <gtest/gtest.h>

#include <string>

#include "exporters/test_run.h"

namespace vigil {
namespace {

bool contains(const std::string& page, const std::string& text) { return page.find(text) != std::string::npos; }

TEST(LandingPage, ShowsTheRunAndItsLatestFigures) {
  const std::string page = render_landing_page(test::make_running_snapshot().get());
  for (const char* text : {"<h1>vigil ", "mnist &quot;a\\b&quot;", "0 of 2", "running", "<td>0.1</td>", "<td>+Inf</td>", "0.008 s",
                           "LogBackward0 made 4 NaN &quot;out of&quot; nothing", "href=\"metrics\"", "2023-11-14 22:13:20 UTC"}) {
    EXPECT_TRUE(contains(page, text)) << text;
  }
}

TEST(LandingPage, EscapesWhateverComesFromTheRun) {
  auto snapshot = std::make_shared<Snapshot>(*test::make_running_snapshot());
  auto schema = std::make_shared<Schema>(*snapshot->schema);
  schema->identity.run = "<script>alert('x')</script>&\xff";
  schema->identity.model = "std::vector<float>\xe2\x80\xae";  // writes from right to left from there on
  schema->parameters[1] = "<img src=x onerror=y>";
  snapshot->schema = schema;
  const std::string page = render_landing_page(snapshot.get());
  EXPECT_FALSE(contains(page, "<script"));
  EXPECT_FALSE(contains(page, "<img"));
  EXPECT_TRUE(contains(page, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;\xef\xbf\xbd"));
  EXPECT_TRUE(contains(page, "std::vector&lt;float&gt;\xef\xbf\xbd"));
  EXPECT_FALSE(contains(page, "\xe2\x80\xae"));
}

TEST(LandingPage, RefersToNothingOutsideItself) {
  const std::string page = render_landing_page(test::make_running_snapshot().get());
  EXPECT_FALSE(contains(page, "://"));
  EXPECT_FALSE(contains(page, "src="));
}

TEST(LandingPage, SaysThatThereIsNoRunYet) { EXPECT_TRUE(contains(render_landing_page(nullptr), "No run yet")); }

}  // namespace
}  // namespace vigil
