#include "vigil/inspection/report_cells.h"

#include "vigil/inspection/report_pictures.h"
#include "vigil/monitor/dtype.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

constexpr std::size_t kNameColumns = 100, kNameBytes = 512;

}  // namespace

std::string bounded(std::string_view text, std::size_t bytes) {
  return text.size() <= bytes ? std::string(text) : std::string(text.substr(0, bytes)) + "…";
}

std::string name_html(const std::string& name) {
  const std::string shown = printable(bounded(name, kNameBytes));
  const std::string cut = clipped(shown, kNameColumns);
  const std::string title = cut == shown ? "" : " title=\"" + escaped_html(shown) + '"';
  std::string text;
  for (const char c : cut.empty() ? std::string("(no name)") : escaped_html(cut)) {
    text += c;
    if (c == '.') text += "<wbr/>";  // where a long one may be broken
  }
  return "<span" + title + '>' + text + "</span>";
}

std::string share_html(double share) { return share == 0 ? "0" : escaped_html(percent_text(share)); }

std::string cell_html(const std::string& html, const char* style) {
  return std::string("<td") + (style == nullptr ? "" : std::string(" class=\"") + style + '"') + '>' + html + "</td>";
}

std::string number_cell(double value) { return cell_html(is_nan_bits(value) ? "–" : escaped_html(short_number(value))); }

std::string table_begin(const std::string& label, const std::vector<ReportColumn>& columns) {
  std::string html = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" + escaped_html(label) + "\"><table><thead><tr>";
  for (const ReportColumn& column : columns)
    html += std::string("<th scope=\"col\"") + (column.is_text ? " class=\"text\">" : ">") + column.title + "</th>";
  return html + "</tr></thead><tbody>\n";
}

}  // namespace vigil
