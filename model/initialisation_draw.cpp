#include "vigil/model/initialisation_draw.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <ATen/Functions.h>

namespace vigil {
namespace {

using Scheme = InitialisationScheme;

bool is_bias(std::string_view name) { return name.find("bias") != std::string_view::npos; }

// Of N(0, 1) between a and b: Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1, 13.10.1.
void take_truncated_moments(InitialisationDraw& draw) {
  const double a = (draw.lower - draw.center) / draw.spread, b = (draw.upper - draw.center) / draw.spread;
  const double share = normal_share(0, 1, a, b);
  const auto density = [](double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); };
  const double shift = (density(a) - density(b)) / share;
  draw.mean = draw.center + draw.spread * shift;
  draw.std = draw.spread * std::sqrt(1 + (a * density(a) - b * density(b)) / share - shift * shift);
}

void take_uniform(InitialisationDraw& draw, double lower, double upper) {
  draw.lower = lower;
  draw.upper = upper;
  draw.mean = (lower + upper) / 2;
  draw.std = (upper - lower) / std::sqrt(12.0);
}

// What libtorch's modules begin with: their reset_parameters().
void take_torch(const LayerParameter& parameter, InitialisationDraw& draw) {
  const at::Tensor& tensor = parameter.tensor;
  const bool bias = is_bias(parameter.parameter);
  draw.takes_whole = true;
  const auto constant = [&](double value) {
    draw.mean = draw.center = value;
    draw.std = 0;
    draw.scheme = Scheme::constant;
  };
  const auto bounded = [&](double fan) {
    if (!(fan > 0)) return constant(0);
    const double bound = 1 / std::sqrt(fan);
    take_uniform(draw, -bound, bound);
  };
  switch (parameter.kind) {
    case LayerKind::linear:
    case LayerKind::convolution:
    case LayerKind::transposed_convolution: {
      const at::Tensor& weight = bias ? parameter.weight : tensor;
      if (!weight.defined() || weight.dim() < 2) break;
      const double fan = static_cast<double>(weight.numel()) / static_cast<double>(std::max<std::int64_t>(weight.size(0), 1));
      if (bias) return bounded(fan);
      if (fan == 0) return constant(0);
      const double std = gain_of(Activation::leaky_relu, std::sqrt(5.0)) / std::sqrt(fan);  // the steps of libtorch, for its digits
      return take_uniform(draw, -std::sqrt(3.0) * std, std::sqrt(3.0) * std);
    }
    case LayerKind::bilinear: {
      const at::Tensor& weight = bias ? parameter.weight : tensor;
      if (weight.defined() && weight.dim() == 3) return bounded(static_cast<double>(weight.size(1)));
      break;
    }
    case LayerKind::recurrent: return bounded(static_cast<double>(parameter.hidden));
    case LayerKind::embedding:
      draw.has_normal_values = true;
      draw.spread = draw.std = 1;
      return;
    case LayerKind::normalisation: return constant(bias ? 0 : 1);
    case LayerKind::attention:
      if (parameter.parameter == "in_proj_bias") return constant(0);
      if (tensor.dim() < 2) break;
      {
        const double in = static_cast<double>(tensor.numel() / std::max<std::int64_t>(tensor.size(0), 1));
        double out = static_cast<double>(tensor.size(0));
        if (tensor.dim() == 3) out *= static_cast<double>(tensor.size(2));
        const double std = std::sqrt(2.0 / (in + out));
        if (!is_bias(parameter.parameter)) return take_uniform(draw, -std::sqrt(3.0) * std, std::sqrt(3.0) * std);
        draw.has_normal_values = true;
        draw.spread = draw.std = std;
        return;
      }
    case LayerKind::other: break;
  }
  draw.scheme = Scheme::keep;
}

void draw_normal(at::Tensor& values, double mean, double std, const at::Generator& generator) { values.normal_(mean, std, generator); }

// As torch.nn.init.trunc_normal_: the inverse of the cumulative distribution at uniform places.
void draw_truncated(at::Tensor& values, const InitialisationDraw& draw, const at::Generator& generator) {
  const auto cumulative = [&](double x) { return (1 + std::erf((x - draw.center) / draw.spread / std::sqrt(2.0))) / 2; };
  values.uniform_(2 * cumulative(draw.lower) - 1, 2 * cumulative(draw.upper) - 1, generator);
  values.erfinv_().mul_(draw.spread * std::sqrt(2.0)).add_(draw.center).clamp_(draw.lower, draw.upper);
}

// As torch::nn::init::orthogonal_: Q of a normal matrix, with the signs that make it uniform (Mezzadri 2007).
void draw_orthogonal(at::Tensor& values, double gain, const at::Generator& generator) {
  const std::int64_t rows = values.size(0), columns = values.numel() / rows;
  at::Tensor normal = at::empty({rows, columns}, values.options());
  draw_normal(normal, 0, 1, generator);
  if (rows < columns) normal.t_();
  auto [q, r] = at::linalg_qr(normal);
  q.mul_(r.diagonal().sign());
  if (rows < columns) q.t_();
  values.view_as(q).copy_(q);
  values.mul_(gain);
}

void draw_identity(at::Tensor& values, std::int64_t groups) {
  values.zero_();
  std::vector<std::int64_t> middle;
  for (std::int64_t d = 2; d < values.dim(); ++d) middle.push_back(values.size(d) / 2);
  const std::int64_t rows = values.size(0) / groups;
  for (std::int64_t row = 0; row < values.size(0); ++row) {
    if (row % rows >= values.size(1)) continue;
    at::Tensor place = values.select(0, row).select(0, row % rows);
    for (const std::int64_t m : middle) place = place.select(0, m);
    place.fill_(1);
  }
}

// As torch::nn::init::sparse_: so many of each column, chosen at random.
void draw_sparse(at::Tensor& values, const InitialisationDraw& draw, const at::Generator& generator) {
  draw_normal(values, 0, draw.spread, generator);
  const std::int64_t rows = values.size(0), columns = values.size(1);
  const auto zeros = static_cast<std::int64_t>(std::ceil(draw.sparsity * static_cast<double>(rows)));
  for (std::int64_t column = 0; column < columns; ++column) {
    const at::Tensor order = at::randperm(rows, generator, at::TensorOptions(at::kLong));
    values.select(1, column).index_fill_(0, order.narrow(0, 0, zeros), 0);
  }
}

void draw_block(at::Tensor& values, const LayerParameter& parameter, const InitialisationDraw& draw, const at::Generator& generator) {
  switch (draw.scheme) {
    case Scheme::keep: return;
    case Scheme::zeros:
    case Scheme::ones:
    case Scheme::constant: values.fill_(draw.center); return;
    case Scheme::normal:
    case Scheme::xavier_normal:
    case Scheme::kaiming_normal: return draw_normal(values, draw.center, draw.spread, generator);
    case Scheme::uniform:
    case Scheme::xavier_uniform:
    case Scheme::kaiming_uniform: values.uniform_(draw.lower, draw.upper, generator); return;
    case Scheme::torch:
      if (draw.has_normal_values) return draw_normal(values, draw.center, draw.spread, generator);
      values.uniform_(draw.lower, draw.upper, generator);
      return;
    case Scheme::truncated_normal: return draw_truncated(values, draw, generator);
    case Scheme::orthogonal: return draw_orthogonal(values, *draw.gain, generator);
    case Scheme::identity: return draw_identity(values, parameter.groups);
    case Scheme::sparse: return draw_sparse(values, draw, generator);
  }
}

}  // namespace

InitialisationDraw plan_draw(const LayerParameter& parameter, const InitialisationRule& rule, const InitialisationPolicy& policy,
                             double residual_scale, std::string& problem) {
  const at::Tensor& tensor = parameter.tensor;
  const double scale = rule.residual ? residual_scale : 1;
  InitialisationDraw draw;
  draw.scheme = rule.scheme;
  draw.fans = fans_of(parameter);
  draw.blocks = parameter.blocks;
  const std::string scheme(name_of(rule.scheme));
  const auto needs_matrix = [&](std::int64_t most) {
    if (tensor.dim() >= 2 && tensor.dim() <= most) return true;
    problem = scheme + " needs " +
              (most == 2  ? "2 dimensions"
               : most > 5 ? "at least 2 dimensions"
                          : "2 to 5 dimensions") +
              ", it has " + std::to_string(tensor.dim()) + " (give it a rule of its own before this one, such as zeros)";
    return false;
  };
  const double gain = rule.gain.value_or(gain_of(rule.activation.value_or(policy.activation), rule.slope.value_or(policy.slope)));
  const auto scaled_by_fans = [&](double fan) {
    draw.gain = gain;
    draw.std = fan > 0 ? gain / std::sqrt(fan) * scale : 0;
    draw.spread = draw.std;
    draw.upper = std::sqrt(3.0) * draw.std;
    draw.lower = -draw.upper;
  };
  switch (rule.scheme) {
    case Scheme::keep:
    case Scheme::zeros: break;
    case Scheme::ones: draw.mean = draw.center = 1; break;
    case Scheme::constant: draw.mean = draw.center = *rule.value; break;
    case Scheme::normal:
      draw.mean = draw.center = rule.mean.value_or(0);
      draw.std = draw.spread = *rule.std * scale;
      break;
    case Scheme::truncated_normal:
      draw.center = rule.mean.value_or(0);
      draw.spread = *rule.std;
      draw.lower = rule.lower.value_or(draw.center - 2 * draw.spread);
      draw.upper = rule.upper.value_or(draw.center + 2 * draw.spread);
      take_truncated_moments(draw);
      break;
    case Scheme::uniform: take_uniform(draw, *rule.lower, *rule.upper); break;
    case Scheme::xavier_normal:
    case Scheme::xavier_uniform:
      if (!needs_matrix(INT64_MAX)) break;
      scaled_by_fans(1);  // for its gain
      draw.std = gain * std::sqrt(2.0 / static_cast<double>(draw.fans->in + draw.fans->out)) * scale;
      draw.spread = draw.std;
      draw.upper = std::sqrt(3.0) * draw.std;
      draw.lower = -draw.upper;
      break;
    case Scheme::kaiming_normal:
    case Scheme::kaiming_uniform:
      if (needs_matrix(INT64_MAX)) {
        scaled_by_fans(static_cast<double>(rule.fan.value_or(FanMode::in) == FanMode::in ? draw.fans->in : draw.fans->out));
      }
      break;
    case Scheme::orthogonal:
      if (!needs_matrix(INT64_MAX)) break;
      draw.gain = gain;
      if (tensor.numel() > 0) {
        const std::int64_t rows = tensor.size(0) / draw.blocks, columns = tensor.numel() / tensor.size(0);
        draw.std = gain / std::sqrt(static_cast<double>(std::max(rows, columns)));
      }
      break;
    case Scheme::identity:
      if (needs_matrix(5) && tensor.size(0) % (draw.blocks * parameter.groups) != 0) problem = "identity needs rows in whole groups";
      draw.mean = draw.std = std::nan("");
      break;
    case Scheme::sparse:
      if (!needs_matrix(2)) break;
      draw.spread = *rule.std;
      draw.sparsity = *rule.sparsity;
      draw.std = draw.spread * std::sqrt(1 - draw.sparsity);
      break;
    case Scheme::torch: take_torch(parameter, draw); break;
  }
  if (rule.forget_bias && problem.empty()) {
    if (parameter.kind == LayerKind::recurrent && parameter.blocks == 4 && tensor.dim() == 1) {
      draw.forget_bias = parameter.parameter.find("bias_hh") == std::string::npos ? *rule.forget_bias : 0;
      draw.mean = draw.std = std::nan("");
    } else {
      problem = "forget_bias is of the biases of an LSTM (narrow the rule: module: \"LSTM*\", parameter: \"bias*\")";
    }
  }
  if (draw.scheme == Scheme::keep) draw.mean = draw.std = std::nan("");
  return draw;
}

at::Tensor drawn_values(const LayerParameter& parameter, const InitialisationDraw& draw, const at::Generator& generator) {
  const at::Tensor& tensor = parameter.tensor;
  at::Tensor values = at::empty(tensor.sizes(), tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  if (values.numel() == 0) return values;
  const std::int64_t blocks = draw.takes_whole ? 1 : draw.blocks, rows = values.dim() == 0 ? 1 : values.size(0) / blocks;
  for (std::int64_t i = 0; i < blocks; ++i) {
    at::Tensor block = blocks == 1 ? values : values.narrow(0, i * rows, rows);
    draw_block(block, parameter, draw, generator);
    if (draw.forget_bias && i == 1) block.fill_(*draw.forget_bias);
  }
  if (parameter.padding) {
    const std::int64_t row = *parameter.padding < 0 ? *parameter.padding + values.size(0) : *parameter.padding;
    if (row >= 0 && row < values.size(0)) values.select(0, row).zero_();
  }
  return values;
}

}  // namespace vigil
