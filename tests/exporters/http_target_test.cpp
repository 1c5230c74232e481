// Targets of requests, addresses to listen on, and credentials, as text.
#include "vigil/exporters/http_target.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/exporters/basic_auth.h"
#include "vigil/exporters/http_server.h"
#include "vigil/exporters/listen_address.h"

namespace vigil {
namespace {

using Queries = std::vector<std::pair<std::string, std::string>>;

TEST(Target, IsAPathAndParametersDecoded) {
  const auto target = parse_target("/api/v1/runs/a%20b%2Fc?run=x%26y&run=c+d&since=&flag&%C3%A4=%E2%82%AC&&a=b=c");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/api/v1/runs/a b/c");
  EXPECT_EQ(target->queries,
            (Queries{{"run", "x&y"}, {"run", "c d"}, {"since", ""}, {"flag", ""}, {"\xC3\xA4", "\xE2\x82\xAC"}, {"a", "b=c"}}));
}

TEST(Target, KeepsAPlusInAPath) { EXPECT_EQ(parse_target("/a+b?c+=+d")->path, "/a+b"); }

TEST(Target, MayStandBehindAHost) {
  EXPECT_EQ(parse_target("http://127.0.0.1:9464/metrics?a=1")->path, "/metrics");
  EXPECT_EQ(parse_target("https://host/")->path, "/");
  EXPECT_EQ(parse_target("http://host")->path, "/");
}

TEST(Target, ThatIsMalformedIsNone) {
  const std::string euro_without_its_end = "/%E2%82", surrogate = "/%ED%A0%80", zero = "/a%00b";
  for (const std::string& text : {std::string(),
                                  std::string("*"),
                                  std::string("metrics"),
                                  std::string("host:80"),
                                  std::string("/a b"),
                                  std::string("/%"),
                                  std::string("/%4"),
                                  std::string("/%4g"),
                                  std::string("/?a=%zz"),
                                  std::string("/?%0=1"),
                                  zero,
                                  std::string("/?a=%00"),
                                  euro_without_its_end,
                                  surrogate,
                                  std::string("/?\xFF"),
                                  std::string("/\x01"),
                                  std::string("/\x7F"),
                                  std::string("/a\0b", 4),
                                  std::string("ftp://host/"),
                                  std::string("http://host?a")}) {
    EXPECT_FALSE(parse_target(text)) << text;
  }
}

TEST(Target, HasUpTo256Parameters) {
  std::string text = "/?";
  for (int i = 0; i < 256; ++i) text += "a&";
  EXPECT_EQ(parse_target(text)->queries.size(), 256u);
  EXPECT_FALSE(parse_target(text + "a"));
}

TEST(Request, AnswersForItsParameters) {
  const HttpTarget target = *parse_target("/x?run=a&run=b&empty=&empty=c");
  const HttpRequest request(nullptr, "POST", target, "body");
  EXPECT_EQ(request.method(), "POST");
  EXPECT_EQ(request.path(), "/x");
  EXPECT_EQ(request.body(), "body");
  EXPECT_EQ(request.query("run"), "a");
  EXPECT_EQ(request.queries("run"), (std::vector<std::string_view>{"a", "b"}));
  EXPECT_EQ(request.query("empty"), "");
  EXPECT_FALSE(request.query("Run"));
  EXPECT_TRUE(request.queries("none").empty());
  EXPECT_EQ(request.header("Accept"), "");
}

TEST(ListenAddressFlag, TakesTheFormsOfTheEcosystem) {
  const auto parsed = [](const char* text) {
    const ListenAddress address = parse_listen_address(text);
    return std::make_pair(address.address, address.port);
  };
  using Parsed = std::pair<std::string, std::int64_t>;
  EXPECT_EQ(parsed("127.0.0.1:9465"), Parsed("127.0.0.1", 9465));
  EXPECT_EQ(parsed(":9465"), Parsed("*", 9465));
  EXPECT_EQ(parsed("[::1]:9465"), Parsed("::1", 9465));
  EXPECT_EQ(parsed("[::]:0"), Parsed("::", 0));
  EXPECT_EQ(parsed("localhost:65535"), Parsed("127.0.0.1", 65535));
}

std::string listen_error(std::string_view text) {
  try {
    parse_listen_address(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ListenAddressFlag, SaysWhatIsWrong) {
  const std::string expected = "expected ADDRESS:PORT, e.g. 127.0.0.1:9465, [::1]:9465 or :9465 for all addresses, got ";
  EXPECT_EQ(listen_error(""), expected + "'' (the port is missing)");
  EXPECT_EQ(listen_error("9465"), expected + "'9465' (the port is missing)");
  EXPECT_EQ(listen_error("127.0.0.1:"), expected + "'127.0.0.1:' (the port is missing)");
  EXPECT_EQ(listen_error("[::1]"), expected + "'[::1]' (an IPv6 address stands in brackets, and a port behind them)");
  EXPECT_EQ(listen_error("::1:9465"), expected + "'::1:9465' (an IPv6 address stands in brackets, and a port behind them)");
  EXPECT_EQ(listen_error("gpu7:9465"),
            expected + "'gpu7:9465' (it is no numeric address, and host names other than localhost are not resolved)");
  EXPECT_EQ(listen_error("[fe80::1%eth0]:1"), expected + "'[fe80::1%eth0]:1' (network interfaces in addresses are not supported)");
  EXPECT_EQ(listen_error("[127.0.0.1]:1"), expected + "'[127.0.0.1]:1' (what stands in brackets is no IPv6 address)");
  for (const char* text : {":65536", ":-1", ":+1", ":http", ": 1", ":1 ", ":99999999999999999999", "127.0.0.1:0x10"}) {
    EXPECT_EQ(listen_error(text), expected + "'" + text + "' (a port is a number from 0 to 65535)");
  }
  EXPECT_EQ(listen_error("\x1b[31m:1").find('\x1b'), std::string::npos);
  EXPECT_LT(listen_error(std::string(100'000, 'x')).size(), 300u);
  EXPECT_NE(listen_error(std::string_view("127.0.0.1\0:1", 12)), "accepted");
}

TEST(ListenAddressFlag, MayComeSeveralTimes) {
  const HttpServerSettings settings = settings_for_listen_addresses({"127.0.0.1:1", "[::1]:2", ":3"});
  EXPECT_EQ(settings.address, "127.0.0.1");
  EXPECT_EQ(settings.port, 1);
  ASSERT_EQ(settings.more_addresses.size(), 2u);
  EXPECT_EQ(settings.more_addresses[1].address, "*");
  EXPECT_THROW(settings_for_listen_addresses({}), std::invalid_argument);
  try {
    settings_for_listen_addresses({"127.0.0.1:1", "x"});
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_EQ(std::string(error.what()).rfind("--web.listen-address: expected ", 0), 0u);
  }
}

TEST(BasicAuth, ReadsUserAndPassword) {
  const auto credentials = parse_basic_auth("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");  // the example of RFC 7617
  ASSERT_TRUE(credentials);
  EXPECT_EQ(credentials->user, "Aladdin");
  EXPECT_EQ(credentials->password, "open sesame");
  EXPECT_EQ(parse_basic_auth("bAsIc   dGVzdDoxMjPCow==  ")->password, "123\xC2\xA3");
  EXPECT_EQ(parse_basic_auth("Basic Og==")->user, "");
  EXPECT_EQ(parse_basic_auth("Basic YTpiOmM=")->password, "b:c") << "a password may hold a colon";
}

TEST(BasicAuth, ThatIsMalformedIsNone) {
  for (const std::string& header :
       {std::string(), std::string("Basic"), std::string("Basic "), std::string("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        std::string("BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ=="), std::string("Basic QWxhZGRpbg=="), std::string("Basic Og="),
        std::string("Basic Og"), std::string("Basic O==="), std::string("Basic Oh=="), std::string("Basic O*=="), std::string("Basic =Og="),
        std::string("Basic ===="), std::string("Basic OgA="), "Basic " + std::string(2000, 'O')}) {
    EXPECT_FALSE(parse_basic_auth(header)) << header.substr(0, 60);
  }
}

TEST(Bcrypt, AgreesWithTheVectorsOfItsFirstImplementation) {
  const std::pair<std::string, std::string> vectors[] = {{"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
                                                         {"U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"},
                                                         {"\xFF\xFF\xA3", "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e"}};
  for (const auto& [password, hash] : vectors) {
    EXPECT_TRUE(bcrypt_matches(password, hash)) << hash;
    EXPECT_FALSE(bcrypt_matches(password + "x", hash)) << hash;
    EXPECT_FALSE(bcrypt_matches("", hash)) << hash;
  }
  EXPECT_TRUE(bcrypt_matches("rosebud", "$2b$04$vigilvigilvigilvigilveHFIpVJ/4uVfwh0kO6e7uOQ6eTosNq0y"));
  EXPECT_EQ(bcrypt_cost("$2y$12$x"), 12);
}

TEST(Bcrypt, TakesNothingForAHashThatIsNone) {
  for (const char* hash : {"", "*0", "*1", "rosebud", "$2b$04$", "$9$"}) EXPECT_FALSE(bcrypt_matches("rosebud", hash)) << hash;
  const std::string nobody = unmatchable_bcrypt_hash(4);
  EXPECT_EQ(nobody.size(), 60u);
  EXPECT_EQ(bcrypt_cost(nobody), 4);
  for (const char* password : {"", "rosebud", "9"}) EXPECT_FALSE(bcrypt_matches(password, nobody));
}

}  // namespace
}  // namespace vigil
