#include "vigil/config/url.h"

#include <gtest/gtest.h>

namespace vigil {
namespace {

TEST(Url, HasASchemeAndAHost) {
  for (const char* url : {"http://a", "https://a.example:443/x?y=z", "http://[::1]:9090/api/v1/write", "http://[::1]",
                          "http://me:pw@host:1/", "http://127.0.0.1:65535", "http://a/b:c", "http://a?b=c:99999"})
    EXPECT_TRUE(is_http_url(url, " ")) << url;
  for (const char* url : {"", "a", "http://", "http:///x", "http://:80/x", "http://?", "http://a:/x", "http://a:0", "http://a:99999/x",
                          "http://a:b", "http://a:-1", "http://a:1x", "http://me@:80", "ftp://a", "HTTP//a", "http://a b"})
    EXPECT_FALSE(is_http_url(url, " ")) << url;
}

TEST(HostWithPort, HasBoth) {
  for (const char* text : {"host:80", "a_b.example-1.org:9465", "10.0.0.1:1", "[::1]:65535", "[fe80::1]:9465"})
    EXPECT_TRUE(is_host_with_port(text)) << text;
  for (const char* text : {"", "host", ":80", "host:", "host name:80", "host:0", "host:99999", "host:+1", "::1:80", "[::1]", "[]:80",
                           "[host]:x", "http://host:80", "host:80/", "h\xc3\xb6st:80"})
    EXPECT_FALSE(is_host_with_port(text)) << text;
}

}  // namespace
}  // namespace vigil
