// What is sent over HTTP, and what is kept of an answer; headers that lie in files.
#include "vigil/exporters/http_post.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "files.h"
#include "http/http_recorder.h"
#include "vigil/exporters/base64.h"
#include "vigil/exporters/header_files.h"

namespace vigil {
namespace {

using namespace test;

HttpPoster poster_to(const HttpRecorder& receiver) {
  return {receiver.url(), std::chrono::seconds(10), [] { return false; }};
}

TEST(HttpPost, SendsWhatTheMessageSays) {
  const HttpRecorder receiver;
  HttpPoster poster = poster_to(receiver);
  HttpMessage message;
  message.method = "PUT";
  message.path = "/metrics/job/mnist";
  message.content_type = "text/plain; version=0.0.4; charset=utf-8";
  const std::string body("a 1\n\0b", 6);
  message.body = body;
  EXPECT_TRUE(poster.send(message, {"X-Scope-OrgID: team"}).is_success());
  message.method = "DELETE";
  message.body = {};
  EXPECT_TRUE(poster.send(message).is_success());
  EXPECT_TRUE(poster.post("{}").is_success());
  const auto requests = receiver.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].method, "PUT");
  EXPECT_EQ(requests[0].path, "/metrics/job/mnist");
  EXPECT_EQ(requests[0].body, body);
  EXPECT_EQ(requests[0].headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(requests[0].headers.at("x-scope-orgid"), "team");
  EXPECT_EQ(requests[0].headers.at("user-agent").rfind("vigil/", 0), 0u);
  EXPECT_EQ(requests[1].method, "DELETE");
  EXPECT_EQ(requests[1].body, "");
  EXPECT_EQ(requests[2].method, "POST");
  EXPECT_EQ(requests[2].headers.at("content-type"), "application/json");
}

TEST(HttpPost, KeepsTheWordsOfARefusalOnOneLineAndWithinABound) {
  HttpRecorder receiver;
  HttpPoster poster = poster_to(receiver);
  receiver.answer_next({400, 400, 400});
  receiver.answer_with("out of order\r\n\tsample \xff\n");
  EXPECT_EQ(poster.post("{}").reason(), "HTTP status 400: out of order sample \xef\xbf\xbd");
  receiver.answer_with(std::string(100'000, 'x'));
  EXPECT_EQ(poster.post("{}").answer, std::string(HttpPoster::kMaxAnswerBytes, 'x'));
  receiver.answer_with("");
  EXPECT_EQ(poster.post("{}").reason(), "HTTP status 400");
  receiver.answer_with("all is well");
  EXPECT_EQ(poster.post("{}").answer, "") << "of a success nothing is kept";
}

TEST(HttpPost, KeepsHowLongTheReceiverAsksToWait) {
  HttpRecorder receiver;
  HttpPoster poster = poster_to(receiver);
  receiver.answer_next({429, 503, 503});
  receiver.answer_with("", {{"Retry-After", "7"}});
  EXPECT_EQ(poster.post("{}").retry_after, std::chrono::seconds(7));
  receiver.answer_with("", {{"Retry-After", "Fri, 31 Dec 2100 23:59:59 GMT"}});
  EXPECT_GT(poster.post("{}").retry_after, std::chrono::hours(24 * 365));
  receiver.answer_with("", {{"Retry-After", "soon"}});
  EXPECT_EQ(poster.post("{}").retry_after, std::chrono::seconds(0));
}

// RFC 4648, section 10.
TEST(Base64, HasTheExamplesOfItsSpecification) {
  const std::vector<std::pair<std::string, std::string>> examples{
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : examples) EXPECT_EQ(base64(bytes), text);
  EXPECT_EQ(base64("\xfb\xff\xfe"), "+//+");
  EXPECT_EQ(base64_url("\xfb\xff\xfe"), "-__-");
  EXPECT_EQ(base64_url("f"), "Zg");
}

class Headers : public testing::Test {
 protected:
  // What is wrong with a file of headers.
  std::string problem_of(const std::string& text) {
    const std::string path = folder_.write("headers", text).string();
    try {
      read_headers({path, {}});
    } catch (const std::invalid_argument& error) {
      const std::string message = error.what();
      EXPECT_EQ(message.rfind(path + ":", 0), 0u) << message;
      return message.substr(std::min(message.size(), path.size()));
    }
    return "none";
  }
  const TemporaryFolder folder_;
};

TEST_F(Headers, AreTheLinesOfAFileWithoutEmptyOnesAndComments) {
  const auto path = folder_.write("headers", "# of the team\r\nX-Scope-OrgID: team\r\n\n  \nAuthorization: Bearer a.b:c==\n");
  EXPECT_EQ(read_headers({path.string(), {}}), (std::vector<std::string>{"X-Scope-OrgID: team", "Authorization: Bearer a.b:c=="}));
  EXPECT_TRUE(read_headers({}).empty());
  EXPECT_TRUE(read_headers({folder_.write("empty", "").string(), {}}).empty());
}

TEST_F(Headers, OfBasicAuthenticationComeFromTheFirstLine) {
  const auto path = folder_.write("auth", "Aladdin:open sesame\nmore\n");  // the example of RFC 7617
  EXPECT_EQ(read_headers({{}, path.string()}), (std::vector<std::string>{"Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}));
  for (const std::string wrong : {"", "\nuser:password", "user", ":password", "us\x01er:password"}) {
    const std::string broken = folder_.write("broken", wrong).string();
    try {
      read_headers({{}, broken});
      ADD_FAILURE() << "'" << wrong << "' was accepted";
    } catch (const std::invalid_argument& error) {
      EXPECT_EQ(error.what(), broken + ":1: expected 'user:password'");
    }
  }
}

TEST_F(Headers, ThatNoRequestMayHaveAreErrorsWithTheirLineWhichTellNoSecret) {
  EXPECT_EQ(problem_of("X: y\nsecret\n"), ":2: expected 'Name: value'");
  EXPECT_EQ(problem_of(": secret"), ":1: expected 'Name: value'");
  EXPECT_EQ(problem_of("A B: secret"), ":1: expected 'Name: value'");
  EXPECT_EQ(problem_of("A: sec\x01ret"), ":1: expected printable characters");
  EXPECT_EQ(problem_of("A: sec\rret"), ":1: expected printable characters");
  EXPECT_EQ(problem_of("Authorization: \n"), ":1: expected a value after 'Authorization:'");
  EXPECT_EQ(problem_of("Content-Length: 3"), ":1: 'Content-Length' is set by vigil itself; remove it");
  EXPECT_EQ(problem_of("x-prometheus-remote-write-version: 3"),
            ":1: 'x-prometheus-remote-write-version' is set by vigil itself; remove it");
  EXPECT_EQ(problem_of("A: " + std::string(9000, 'x')), ":1: expected at most 8192 bytes");
  std::string many;
  for (int i = 0; i < 70; ++i) many += "A: b\n";
  EXPECT_EQ(problem_of(many), ": expected at most 64 lines");
  EXPECT_THROW(read_headers({folder_.file("missing"), {}}), std::invalid_argument);
  EXPECT_THROW(read_headers({{}, folder_.file("missing")}), std::invalid_argument);
  EXPECT_THROW(read_headers({folder_.path().string(), {}}), std::invalid_argument) << "a directory";
}

}  // namespace
}  // namespace vigil
