// Label sets: what is left out, escaped and repaired.
#include "vigil/exporters/labels.h"

#include <gtest/gtest.h>

#include <string>

namespace vigil {
namespace {

TEST(Labels, EmptyValuesAreLeftOut) {
  const Labels labels = make_labels({{"run", "a"}, {"layer", ""}, {"rank", "0"}});
  EXPECT_EQ(labels->text(), "run=\"a\",rank=\"0\"");
  EXPECT_EQ(labels->labels().size(), 2u);
  EXPECT_EQ(make_labels({{"layer", ""}})->text(), "");
}

TEST(Labels, BackslashQuoteAndNewlineAreEscaped) {
  EXPECT_EQ(make_labels({{"run", "a\\b\"c\nd\te"}})->text(), "run=\"a\\\\b\\\"c\\nd\te\"");
}

TEST(Labels, WellFormedUtf8IsKept) {
  for (const std::string text : {"", "plain", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
                                 "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "schicht\xc3\xa4.\xe5\xb1\xa4"}) {
    EXPECT_EQ(valid_utf8(text), text);
  }
}

TEST(Labels, EachByteThatIsNoUtf8BecomesAReplacementCharacter) {
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(valid_utf8("a\xff"
                       "b"),
            "a" + bad + "b");
  EXPECT_EQ(valid_utf8("\x80"), bad) << "a continuation alone";
  EXPECT_EQ(valid_utf8("\xc0\xaf"), bad + bad) << "an overlong form of two bytes";
  EXPECT_EQ(valid_utf8("\xe0\x9f\xbf"), bad + bad + bad) << "an overlong form of three bytes";
  EXPECT_EQ(valid_utf8("\xf0\x8f\xbf\xbf"), bad + bad + bad + bad) << "an overlong form of four bytes";
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), bad + bad + bad) << "a surrogate";
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80"), bad + bad + bad + bad) << "beyond U+10FFFF";
  EXPECT_EQ(valid_utf8("\xe2\x82"), bad + bad) << "cut off";
}

}  // namespace
}  // namespace vigil
