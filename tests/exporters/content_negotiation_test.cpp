// Accept and Accept-Encoding, as real clients send them and as they should not.
#include "vigil/exporters/content_negotiation.h"

#include <gtest/gtest.h>

namespace vigil {
namespace {

constexpr TextFormat kText = TextFormat::prometheus, kOpenMetrics = TextFormat::openmetrics;

TEST(ContentNegotiation, TheFormatIsTheOneWithTheHigherQuality) {
  struct Case {
    const char* accept;
    TextFormat expected;
  };
  const Case cases[] = {
      {"", kText},
      {"*/*", kText},
      {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", kText},
      {"text/plain", kText},
      {"application/openmetrics-text", kOpenMetrics},
      {"application/openmetrics-text; version=1.0.0", kOpenMetrics},
      {"Application/OpenMetrics-Text;Version=\"1.0.0\"", kOpenMetrics},
      // Prometheus 2.42 and 3.
      {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,"
       "*/*;q=0.1",
       kOpenMetrics},
      {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
       "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,/;q=0.1",
       kOpenMetrics},
      {"text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.5", kText},
      {"text/plain;q=0.5, application/openmetrics-text;q=0.5", kText},
      {"application/openmetrics-text;q=0, */*", kText},
      {"text/*;q=0.2, application/*;q=0.3", kOpenMetrics},
      {"*/*;q=0.9, text/plain;q=0.1", kOpenMetrics},
      {"application/openmetrics-text;version=0.0.1", kText},
      {"application/openmetrics-text;version=2.0.0", kText},
      {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", kText},
      {"application/openmetrics-text;q=abc, text/plain;q=0.1", kText},
      {",,;;=,q=1;\"", kText},
  };
  for (const Case& c : cases) EXPECT_EQ(choose_text_format(c.accept), c.expected) << c.accept;
}

TEST(ContentNegotiation, GzipIsUsedOnlyWhereItIsWanted) {
  for (const char* wanted : {"gzip", "GZIP", "x-gzip", "gzip, deflate, br", "deflate, gzip;q=0.5", "*", "gzip;q=1.0, identity;q=0.5",
                             "identity;q=0, gzip;q=0.1"}) {
    EXPECT_TRUE(prefers_gzip(wanted)) << wanted;
  }
  for (const char* unwanted : {"", "identity", "br", "gzip;q=0", "gzip;q=0.000", "gzip; q=0, *", "*;q=0", "gzip;q=0.2, identity;q=0.8",
                               "gzip;q=nan", "gzip;q=2"}) {
    EXPECT_FALSE(prefers_gzip(unwanted)) << unwanted;
  }
}

}  // namespace
}  // namespace vigil
