#include "vigil/exporters/html_text.h"

#include <cstdio>
#include <ctime>

#include "vigil/config/printable.h"
#include "vigil/config/utf8.h"
#include "vigil/exporters/labels.h"
#include "vigil/monitor/dtype.h"

namespace vigil {

std::string escape_html(std::string_view text) {
  std::string out;
  const std::string valid = valid_utf8(text);
  for (std::string_view rest = valid; !rest.empty();) {
    const CodePoint next = decode_utf8(rest);
    const std::string_view bytes = rest.substr(0, next.bytes);
    rest.remove_prefix(next.bytes);
    switch (next.value) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += is_unfit_to_show(next.value) ? "\xEF\xBF\xBD" : bytes;
    }
  }
  return out;
}

std::string number_html(double value) {
  if (is_nan_bits(value)) return "NaN";
  if (!is_finite_bits(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string time_html(std::int64_t nanoseconds) {
  const std::time_t seconds = static_cast<std::time_t>(nanoseconds / 1000000000);
  std::tm utc{};
  char text[40] = "";
  if (gmtime_r(&seconds, &utc) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
  return text;
}

const std::string_view kPageHead =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>vigil</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark }\n"
    "body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }\n"
    "table { border-collapse: collapse }\n"
    "th, td { text-align: left; padding: .15rem 1rem .15rem 0; font-weight: normal; overflow-wrap: anywhere }\n"
    "td { font-variant-numeric: tabular-nums }\n"
    "</style>\n"
    "</head>\n"
    "<body>\n";

}  // namespace vigil
