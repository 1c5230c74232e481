#include "vigil/model/audit_weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>
#include <unordered_set>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include "vigil/config/initialisation.h"
#include "vigil/model/module_tensors.h"
#include "vigil/monitor/reduction.h"
#include "vigil/operators/torch_version.h"

namespace vigil {
namespace {

struct KnownScheme {
  std::string name;
  double std;
};

std::vector<KnownScheme> schemes_of(const LayerParameter& parameter, bool is_transformer) {
  const auto fans = fans_of(parameter);
  if (!fans || fans->in <= 0 || fans->out <= 0) return {};
  const auto in = static_cast<double>(fans->in), out = static_cast<double>(fans->out);
  std::vector<KnownScheme> schemes;
  if (is_transformer) schemes.push_back({"normal, 0.02", 0.02});
  if (parameter.kind == LayerKind::embedding) {
    schemes.push_back({"libtorch's default", 1});
    schemes.push_back({"1/sqrt(size)", 1 / std::sqrt(out)});
    return schemes;
  }
  const double xavier = std::sqrt(2 / (in + out));
  schemes.push_back({"xavier", xavier});
  if (parameter.kind == LayerKind::recurrent) {
    schemes.push_back({"orthogonal", 1 / std::sqrt(std::max(in, out))});
    if (parameter.hidden > 0) schemes.push_back({"libtorch's default", 1 / std::sqrt(3.0 * static_cast<double>(parameter.hidden))});
    return schemes;
  }
  if (parameter.kind == LayerKind::attention) {
    schemes.push_back({"libtorch's default", std::sqrt(2 / (in + out * static_cast<double>(parameter.blocks)))});
    return schemes;
  }
  schemes.push_back({"kaiming, relu", std::sqrt(2 / in)});
  schemes.push_back({"kaiming, relu, fan out", std::sqrt(2 / out)});
  schemes.push_back({"xavier, tanh", gain_of(Activation::tanh, 0) * xavier});
  schemes.push_back({"kaiming, linear", std::sqrt(1 / in)});
  const double torch_fan = static_cast<double>(parameter.tensor.numel()) / static_cast<double>(parameter.tensor.size(0));
  schemes.push_back({"libtorch's default", 1 / std::sqrt(3 * torch_fan)});
  return schemes;
}

// Rows of few numbers may be equal by chance.
constexpr std::int64_t kLeastColumns = 4;

std::int64_t count_equal_rows(const at::Tensor& weight) {
  const std::int64_t rows = weight.size(0), columns = rows > 0 ? weight.numel() / rows : 0;
  if (columns < kLeastColumns) return 0;
  const at::Tensor values = weight.detach().cpu().contiguous();
  const auto* const data = static_cast<const char*>(read_pointer(values));
  const auto bytes = static_cast<std::size_t>(columns * values.element_size());
  std::unordered_set<std::string_view> seen;  // hashes, and compares where they agree
  std::int64_t equal = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    if (!seen.emplace(data + static_cast<std::size_t>(row) * bytes, bytes).second) ++equal;
  }
  return equal;
}

}  // namespace

Moments moments_of(const at::Tensor& tensor) {
  const at::NoGradGuard no_grad;
  at::Tensor values = tensor.detach();
  if (values.layout() != at::kStrided) values = values.to_dense();
  if (values.is_complex()) values = at::real(values);
  values = values.cpu();
  switch (values.scalar_type()) {
    case at::kHalf:
    case at::kBFloat16:
    case at::kFloat:
    case at::kDouble: break;
    default: values = values.to(at::kDouble);
  }
  values = values.contiguous();
  const auto type = statistics_type(element_type_of(values.scalar_type()));
  return compute_moments(*type, read_pointer(values), static_cast<std::size_t>(values.numel()));
}

WeightAudit audited_weight(const LayerParameter& parameter, bool is_transformer) {
  WeightAudit audit;
  audit.path = parameter.path;
  audit.sizes = parameter.tensor.sizes().vec();
  audit.fans = fans_of(parameter);
  audit.moments = moments_of(parameter.tensor);
  audit.rows = parameter.tensor.size(0);
  if (parameter.kind != LayerKind::embedding && parameter.tensor.layout() == at::kStrided)
    audit.equal_rows = count_equal_rows(parameter.tensor);
  audit.ratio = std::numeric_limits<double>::quiet_NaN();
  const double std = standard_deviation(audit.moments);
  if (!(std > 0)) return audit;
  double least = std::numeric_limits<double>::infinity();
  for (const KnownScheme& scheme : schemes_of(parameter, is_transformer)) {
    const double distance = std::abs(std::log(std / scheme.std));
    if (distance >= least) continue;
    least = distance;
    audit.nearest_scheme = scheme.name;
    audit.nearest_std = scheme.std;
    audit.ratio = std / scheme.std;
  }
  return audit;
}

AdvisedScheme advised_scheme(const Fans& fans, const std::string& activation) {
  const auto in = static_cast<double>(std::max<std::int64_t>(fans.in, 1)), out = static_cast<double>(std::max<std::int64_t>(fans.out, 1));
  const double xavier = std::sqrt(2 / (in + out));
  if (activation == "tanh") return {"xavier_normal (tanh)", gain_of(Activation::tanh, 0) * xavier};
  if (activation == "sigmoid") return {"xavier_normal (sigmoid)", xavier};
  if (activation == "selu") return {"kaiming_normal (fan in, linear)", 1 / std::sqrt(in)};
  constexpr std::array<std::string_view, 10> kRectified{"relu", "leaky_relu", "gelu",      "silu", "elu",
                                                        "celu", "hardtanh",   "hardswish", "mish", "prelu"};
  if (std::find(kRectified.begin(), kRectified.end(), activation) != kRectified.end()) {
    return {"kaiming_normal (fan in, relu)", std::sqrt(2 / in)};
  }
  return {"xavier_normal (linear)", xavier};
}

}  // namespace vigil
