// Labels of a series, checked and escaped once instead of at each scrape.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vigil {

struct Label {
  std::string name, value;
};

/// The labels of one series. Immutable; shared by all series that carry the same ones, and by all snapshots.
class LabelSet {
 public:
  /// Labels without a value are left out: to Prometheus an empty label and a missing one are the same. Bytes of a value that
  /// are not UTF-8 become U+FFFD, since one such byte makes a scrape fail as a whole.
  explicit LabelSet(std::vector<Label> labels);

  const std::vector<Label>& labels() const noexcept { return labels_; }
  /// What stands between the braces of a series, escaped: `run="mnist",rank="0"`. Empty without labels.
  const std::string& text() const noexcept { return text_; }

 private:
  std::vector<Label> labels_;
  std::string text_;
};

using Labels = std::shared_ptr<const LabelSet>;

/// `labels` as a set that series can share.
Labels make_labels(std::vector<Label> labels);

/// `text` with U+FFFD in place of every byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7).
std::string valid_utf8(std::string_view text);

/// Appends a label value with backslash, quote and newline escaped, as both text formats want it.
void append_escaped_label_value(std::string& out, std::string_view value);

}  // namespace vigil
