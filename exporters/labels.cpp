#include "vigil/exporters/labels.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "vigil/config/utf8.h"

namespace vigil {
std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = decode_utf8(text).bytes;
    if (length == 0) {
      out += "\xef\xbf\xbd";
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

void append_escaped_label_value(std::string& out, std::string_view value) {
  for (const char c : value) {
    switch (c) {
      case '\\': out += "\\\\"; break;
      case '"': out += "\\\""; break;
      case '\n': out += "\\n"; break;
      default: out += c;
    }
  }
}

LabelSet::LabelSet(std::vector<Label> labels) : labels_(std::move(labels)) {
  labels_.erase(std::remove_if(labels_.begin(), labels_.end(), [](const Label& label) { return label.value.empty(); }), labels_.end());
  for (Label& label : labels_) {
    label.value = valid_utf8(label.value);
    if (!text_.empty()) text_ += ',';
    text_ += label.name;
    text_ += "=\"";
    append_escaped_label_value(text_, label.value);
    text_ += '"';
  }
}

Labels make_labels(std::vector<Label> labels) { return std::make_shared<const LabelSet>(std::move(labels)); }

}  // namespace vigil
