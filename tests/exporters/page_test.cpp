// The built-in page as a browser gets it.
#include "vigil/exporters/page.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include "exporters/test_run.h"
#include "files.h"
#include "http/http_client.h"
#include "vigil/dashboard/page_assets.h"
#include "vigil/exporters/http_endpoint.h"

namespace vigil {
namespace {

using namespace test;

const std::filesystem::path kSource = VIGIL_DASHBOARD_DIR;

class PageTest : public testing::Test {
 protected:
  static PrometheusConfig config(const std::string& directory = {}) {
    PrometheusConfig config;
    config.port = 0;
    config.assets_directory = directory;
    return config;
  }
  HttpAnswer get(const std::string& path, const std::vector<std::string>& headers = {}) { return request(http_.endpoint(), path, headers); }

  HttpEndpoint http_{config(), [] { return make_running_snapshot(); }};
};

TEST_F(PageTest, HasEveryFileOfTheFolderAndNoOther) {
  std::set<std::string> there, embedded;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kSource / "assets")) {
    if (entry.is_regular_file()) there.insert(entry.path().lexically_relative(kSource).string());
  }
  there.insert("index.html");
  for (const PageAsset& asset : page_assets()) embedded.emplace(asset.path);
  EXPECT_EQ(there, embedded) << "list them in dashboard/CMakeLists.txt";
}

TEST_F(PageTest, AnswersItsFilesAsTheyAre) {
  for (const PageAsset& asset : page_assets()) {
    const std::string path = asset.path == "index.html" ? "/" : "/" + std::string(asset.path);
    const HttpAnswer plain = get(path), compressed = get(path, {"Accept-Encoding: gzip"});
    EXPECT_EQ(plain.status, 200) << path;
    EXPECT_EQ(plain.body, read_text(kSource / asset.path)) << path;
    EXPECT_EQ(plain.headers.count("content-encoding"), 0u);
    EXPECT_EQ(compressed.headers.at("content-encoding"), "gzip");
    EXPECT_EQ(gunzip(compressed.body), plain.body) << path;
    EXPECT_EQ(compressed.headers.at("vary"), "Accept-Encoding");
  }
  EXPECT_EQ(get("/").headers.at("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(get("/assets/app.js").headers.at("content-type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(get("/assets/style.css").headers.at("content-type"), "text/css; charset=utf-8");
}

TEST_F(PageTest, WhatABrowserHasIsNotSentAgain) {
  const HttpAnswer first = get("/assets/app.js", {"Accept-Encoding: gzip"});
  const std::string tag = first.headers.at("etag");
  const HttpAnswer again = get("/assets/app.js", {"Accept-Encoding: gzip", "If-None-Match: " + tag});
  EXPECT_EQ(again.status, 304);
  EXPECT_TRUE(again.body.empty());
  EXPECT_EQ(again.headers.at("etag"), tag);
  EXPECT_EQ(get("/assets/app.js", {"Accept-Encoding: gzip", "If-None-Match: \"other\", " + tag}).status, 304);
  EXPECT_EQ(get("/assets/app.js", {"Accept-Encoding: gzip", "If-None-Match: \"other\""}).status, 200);
  // Another encoding is other bytes, and another file has another tag.
  EXPECT_EQ(get("/assets/app.js", {"If-None-Match: " + tag}).status, 200);
  EXPECT_NE(get("/assets/api.js", {"Accept-Encoding: gzip"}).headers.at("etag"), tag);
}

TEST_F(PageTest, LoadsNothingFromElsewhere) {
  const std::string policy = get("/").headers.at("content-security-policy");
  EXPECT_NE(policy.find("default-src 'none'"), std::string::npos);
  EXPECT_NE(policy.find("script-src 'self'"), std::string::npos);
  EXPECT_NE(policy.find("frame-ancestors 'none'"), std::string::npos);
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(get("/").headers.at("x-content-type-options"), "nosniff");
  // Nor do its files name another place, but for licences and the namespaces of SVG.
  for (const PageAsset& asset : page_assets()) {
    if (asset.path.find("vendor/") != std::string_view::npos) continue;
    const std::string text = read_text(kSource / asset.path);
    static const std::regex kAddress(R"((https?:)?//[a-z0-9][a-z0-9.-]*\.[a-z]{2,}[^\s"')`]*)");
    for (std::sregex_iterator found(text.begin(), text.end(), kAddress), end; found != end; ++found)
      EXPECT_EQ(found->str().rfind("http://www.w3.org/", 0), 0u) << asset.path << " names " << found->str();
  }
}

TEST_F(PageTest, NoOtherFileCanBeHad) {
  for (const char* path : {"/assets/", "/assets", "/assets/../index.html", "/assets/..%2f..%2fCMakeLists.txt", "/assets/nothing.js",
                           "/index.html", "/assets/.hidden", "/CMakeLists.txt"})
    EXPECT_EQ(get(path).status, 404) << path;
}

TEST(PageFolder, IsReadAnewEachTimeAndOnlyThere) {
  const TemporaryFolder folder;
  const std::filesystem::path root = folder.path() / "page";
  std::filesystem::create_directories(root / "assets");
  std::ofstream(root / "index.html") << "<p>one</p>";
  std::ofstream(root / "assets" / "new.js") << "1;";
  folder.write("secret.txt", "secret");
  PrometheusConfig config;
  config.port = 0;
  config.assets_directory = root.string();
  const HttpEndpoint http(config, [] { return make_running_snapshot(); });
  EXPECT_EQ(request(http.endpoint(), "/").body, "<p>one</p>");
  EXPECT_EQ(request(http.endpoint(), "/assets/new.js").headers.at("content-type"), "text/javascript; charset=utf-8");
  std::ofstream(root / "index.html") << "<p>two</p>";
  EXPECT_EQ(request(http.endpoint(), "/").body, "<p>two</p>");
  EXPECT_EQ(request(http.endpoint(), "/assets/../../secret.txt").status, 404);
  EXPECT_EQ(request(http.endpoint(), "/assets/..%2f..%2fsecret.txt").status, 404);
  EXPECT_EQ(request(http.endpoint(), "/assets").status, 404);
}

TEST(PageFolder, WithoutAPageIsSaidAtTheStart) {
  const TemporaryFolder folder;
  try {
    const Page page(folder.path().string(), "--web.assets-dir");
    FAIL() << "accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_EQ(std::string(error.what()).rfind("--web.assets-dir: there is no file " + folder.path().string(), 0), 0u) << error.what();
  }
}

}  // namespace
}  // namespace vigil
