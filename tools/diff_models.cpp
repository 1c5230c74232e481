#include "vigil/tools/diff_models.h"

#include <algorithm>
#include <ostream>
#include <vector>

#include "vigil/exporters/json_text.h"
#include "vigil/inspection/fingerprint.h"
#include "vigil/inspection/inspection_error.h"
#include "vigil/inspection/model_difference.h"
#include "vigil/inspection/saved_model.h"
#include "vigil/terminal/progress_line.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/model_file.h"

namespace vigil::tools {
namespace {

using Kind = TensorDifference::Kind;

struct ComparedModels {
  SavedModel a, b;
  std::vector<TensorDifference> differences;
  std::string architecture_a, architecture_b;
};

bool counts(const TensorDifference& one, double threshold) {
  if (one.kind == Kind::unchanged) return false;
  return one.kind != Kind::changed || threshold == 0 || one.changed_nonfinite > 0 || !(one.relative_l2 <= threshold);
}

std::string what_text(const TensorDifference& one, const ComparedModels& models) {
  const auto described = [](const SavedModel& model, std::size_t index) {
    return std::string(name_of(model.tensors[index].type)) + ' ' + shape_text(model.tensors[index].sizes);
  };
  switch (one.kind) {
    case Kind::only_in_a: return "only in A: " + described(models.a, *one.a);
    case Kind::only_in_b: return "only in B: " + described(models.b, *one.b);
    case Kind::sizes:
    case Kind::type: return described(models.a, *one.a) + " in A, " + described(models.b, *one.b) + " in B";
    case Kind::unreadable: return "cannot be read: " + printable(one.error);
    case Kind::changed:
    case Kind::unchanged: break;
  }
  return "";
}

std::string changed_table(const ComparedModels& models, const DiffOptions& options) {
  std::vector<TableRow> rows;
  for (const TensorDifference& one : models.differences) {
    if (one.kind != Kind::changed) continue;
    const bool is_shown = counts(one, options.threshold);
    const double share = 100 * static_cast<double>(one.changed_elements) / static_cast<double>(one.elements);
    const std::string nonfinite =
        one.nonfinite_a == 0 && one.nonfinite_b == 0 ? "-" : grouped(one.nonfinite_a) + " -> " + grouped(one.nonfinite_b);
    rows.push_back({{printable(one.name), shape_text(models.a.tensors[*one.a].sizes), grouped(one.changed_elements),
                     share < 0.01 ? "<0.01 %" : short_number(share) + " %", short_number(one.relative_l2), short_number(one.largest),
                     short_number(one.cosine), nonfinite},
                    one.nonfinite_b > one.nonfinite_a ? Style::red
                    : is_shown                        ? Style::plain
                                                      : Style::dim});
  }
  if (rows.empty()) return "";
  return table_text({{"TENSOR", false, 0, 16},
                     {"SHAPE", false, 3},
                     {"CHANGED", true, 2},
                     {"", true, 4},
                     {"RELATIVE L2", true},
                     {"MAX |DIFF|", true, 1},
                     {"COSINE", true},
                     {"NON-FINITE", true, 1}},
                    rows, options.place);
}

std::string others_table(const ComparedModels& models, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const TensorDifference& one : models.differences) {
    const std::string what = what_text(one, models);
    if (!what.empty()) rows.push_back({{printable(one.name), what}, one.kind == Kind::unreadable ? Style::red : Style::plain});
  }
  return rows.empty() ? "" : table_text({{"TENSOR", false, 0, 16}, {"WHAT", false, 0, 20}}, rows, place);
}

std::string json_of(const ComparedModels& models, const DiffOptions& options, bool is_equal) {
  std::string out = "{";
  append_member(out, "a", options.a);
  append_member(out, "b", options.b);
  append_member(out, "equal", is_equal);
  append_member(out, "architecture_fingerprint_a", models.architecture_a);
  append_member(out, "architecture_fingerprint_b", models.architecture_b);
  append_list(out, "tensors", models.differences, [&](std::string& to, const TensorDifference& one) {
    to += '{';
    append_member(to, "name", one.name);
    append_member(to, "difference", kTensorDifferenceNames[static_cast<std::size_t>(one.kind)]);
    append_member(to, "elements", one.elements);
    if (one.kind == Kind::changed) {
      append_member(to, "counts", counts(one, options.threshold));
      append_member(to, "changed", one.changed_elements);
      append_member(to, "relative_l2", one.relative_l2);
      append_member(to, "l2", one.l2);
      append_member(to, "max", one.largest);
      append_member(to, "cosine", one.cosine);
      append_member(to, "nonfinite_a", one.nonfinite_a);
      append_member(to, "nonfinite_b", one.nonfinite_b);
      append_member(to, "changed_nonfinite", one.changed_nonfinite);
    }
    const std::string what = what_text(one, models);
    if (!what.empty()) append_member(to, "text", what);
    to += '}';
  });
  return out + '}';
}

std::string text_of(const ComparedModels& models, const DiffOptions& options, bool is_equal) {
  std::string text = changed_table(models, options);
  const std::string others = others_table(models, options.place);
  if (!text.empty() && !others.empty()) text += '\n';
  text += others;
  if (!text.empty()) text += '\n';
  const auto count = [&](auto is_one) { return std::count_if(models.differences.begin(), models.differences.end(), is_one); };
  const auto changed = count([](const TensorDifference& one) { return one.kind == Kind::changed; });
  const auto same = count([](const TensorDifference& one) { return one.kind == Kind::unchanged; });
  const auto within =
      changed - count([&](const TensorDifference& one) { return one.kind == Kind::changed && counts(one, options.threshold); });
  text += styled(is_equal ? "equal" : "different", is_equal ? Style::green : Style::yellow, options.place.colored) + ": " +
          counted(same, "tensor") + " the same bit by bit, " + std::to_string(changed) + " changed";
  if (within > 0) text += " (" + std::to_string(within) + " by no more than " + short_number(options.threshold) + ")";
  const auto rest = static_cast<std::ptrdiff_t>(models.differences.size()) - same - changed;
  if (rest > 0) text += ", " + std::to_string(rest) + " not to be compared";
  text += models.architecture_a == models.architecture_b ? "; built alike" : "; not built alike";
  return text + '\n';
}

}  // namespace

int diff_models(const DiffOptions& options, std::ostream& out, std::ostream& err) {
  ComparedModels models;
  try {
    ProgressLine progress(err, options.shows_progress);
    models.a = open_saved_model(options.a);
    models.b = open_saved_model(options.b);
    models.differences = compare_models(models.a.tensors, models.b.tensors, reading_options(options.threads, progress));
  } catch (const InspectionError& error) {
    err << "vigil: " << printable(error.what()) << '\n';
    return 2;
  }
  models.architecture_a = architecture_fingerprint(models.a.tensors);
  models.architecture_b = architecture_fingerprint(models.b.tensors);
  const bool is_equal = std::none_of(models.differences.begin(), models.differences.end(),
                                     [&](const TensorDifference& one) { return counts(one, options.threshold); });
  if (options.json) {
    out << printable_json(json_of(models, options, is_equal)) << '\n';
  } else {
    out << text_of(models, options, is_equal);
  }
  const auto is_unreadable = [](const TensorDifference& one) { return one.kind == Kind::unreadable; };
  if (std::any_of(models.differences.begin(), models.differences.end(), is_unreadable)) {
    err << "vigil: not all tensors can be read; vigil verify tells what is damaged\n";
    return 2;
  }
  return is_equal ? 0 : 1;
}

}  // namespace vigil::tools
