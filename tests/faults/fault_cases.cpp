#include "faults/fault_cases.h"

#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

namespace vigil {
namespace {

namespace nn = torch::nn;
namespace F = torch::nn::functional;
using torch::Tensor;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// --- three layers, one after the other, and a fault behind one of them -------------------------------------------------------

using Fault = std::function<Tensor(Tensor)>;
constexpr std::array<const char*, 3> kPlaces{"first", "middle", "last"};

struct StagedNet : nn::Module {
  Tensor forward(Tensor x, std::size_t place, const Fault& fault) {
    const std::array<nn::Linear, 3> layers{first, middle, last};
    for (std::size_t i = 0; i < layers.size(); ++i) {
      x = nn::Linear(layers[i])->forward(x);
      if (i == place && fault) x = fault(x);
      if (i + 1 < layers.size()) x = torch::leaky_relu(x);  // lets infinities through
    }
    return x;
  }
  nn::Linear first = register_module("first", nn::Linear(8, 16));
  nn::Linear middle = register_module("middle", nn::Linear(16, 16));
  nn::Linear last = register_module("last", nn::Linear(16, 8));
};

Training staged(std::size_t place, Fault fault) {
  const auto net = std::make_shared<StagedNet>();
  const Tensor x = torch::randn({6, 8}), y = torch::randn({6, 8});
  return {net, [=](bool broken) { return torch::mse_loss(net->forward(x, place, broken ? fault : Fault()), y); }};
}

// 1 but for the second row, which is 0.
Tensor zero_row(const Tensor& like) {
  Tensor mask = torch::ones_like(like.detach());
  mask.select(0, 1).zero_();
  return mask;
}

// Hides the second element of each row, or all of the second row.
Tensor hidden(const Tensor& like, bool whole_row) {
  Tensor mask = torch::zeros_like(like.detach(), torch::kBool);
  if (whole_row) {
    mask.select(0, 1).fill_(true);
  } else {
    mask.select(1, 1).fill_(true);
  }
  return mask;
}

// Its backward pass divides by the square root of what may be 0, as the author's did.
struct SquareRoot : torch::autograd::Function<SquareRoot> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x) {
    context->save_for_backward({x});
    return x.abs().sqrt();
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, const torch::autograd::tensor_list& gradients) {
    return {gradients[0] / (2 * context->get_saved_variables()[0].abs().sqrt())};
  }
};

struct Kind {
  const char* name;
  const char* operation;          // as it is named
  const char* follower;           // the end of the layer's name
  const char* forward_operation;  // of one in the backward pass
  Fault fault;
};

bool is_backward(std::string_view operation) {
  return operation.find("Backward0") != std::string_view::npos || operation.find("CppNode") != std::string_view::npos;
}

std::vector<Kind> kinds() {
  return {
      {"log of zero", "aten::log", "log", "", [](Tensor h) { return torch::log(torch::relu(h)); }},
      {"log in place of zero", "aten::log_", "log", "", [](Tensor h) { return (h.abs() * zero_row(h)).log_(); }},
      {"derivative of the square root at zero", "SqrtBackward0", "sqrt", "aten::sqrt",
       [](Tensor h) { return (h * zero_row(h)).pow(2).sum(1, true).sqrt() + h; }},
      {"square root of a negative number", "aten::sqrt", "sqrt", "", [](Tensor h) { return torch::sqrt(-h.abs() - 1); }},
      {"zero divided by zero", "aten::div", "div", "", [](Tensor h) { return (h * zero_row(h)) / (h * zero_row(h)); }},
      {"division by a zero norm", "aten::div", "div", "", [](Tensor h) { return h * zero_row(h) / (h * zero_row(h)).norm(2, 1, true); }},
      {"overflow of exp", "aten::exp", "exp", "", [](Tensor h) { return torch::exp(h.abs() * 1000 + 200); }},
      {"overflow of fp16", "aten::to", "to", "", [](Tensor h) { return (h * 1e7).to(torch::kHalf).to(torch::kFloat); }},
      {"softmax of a fully masked row", "aten::softmax", "softmax", "",
       [](Tensor h) { return torch::softmax(h.masked_fill(hidden(h, true), -kInf), 1); }},
      {"softmax of a row masked by addition", "aten::softmax", "softmax", "",
       [](Tensor h) { return torch::softmax(h + torch::zeros_like(h.detach()).masked_fill(hidden(h, true), -kInf), 1); }},
      {"normalising one constant value by hand", "aten::div", "div", "",
       [](Tensor h) { return (h * 0 - (h * 0).mean(0)) / (h * 0).std(0, false); }},
      {"batch norm by a running variance of zero", "aten::batch_norm", "batch_norm", "",
       [](Tensor h) {
         const Tensor zeros = torch::zeros({h.size(1)});
         return F::batch_norm(h, zeros, zeros, F::BatchNormFuncOptions().training(false).eps(0));
       }},
      {"layer norm of one constant value", "aten::layer_norm", "layer_norm", "",
       [](Tensor h) { return torch::layer_norm(h * 0, {h.size(1)}, {}, {}, 0); }},
      {"cosine similarity of zero vectors", "aten::cosine_similarity", "cosine_similarity", "",
       [](Tensor h) { return h + torch::cosine_similarity(h * 0, h, 1, 0).unsqueeze(1); }},
      {"fractional power of a negative number", "aten::pow", "pow", "", [](Tensor h) { return torch::pow(-h.abs() - 1, 0.3); }},
      {"derivative of a fractional power at zero", "PowBackward0", "pow", "aten::pow",
       [](Tensor h) { return torch::pow(h.abs() * zero_row(h), 0.3); }},
      {"square root in the branch that where() hides", "SqrtBackward0", "sqrt", "aten::sqrt",
       [](Tensor h) { return torch::where(hidden(h, false), h, (h.abs() * hidden(h, false).logical_not()).sqrt()); }},
      {"log in the branch that where() hides", "LogBackward0", "log", "aten::log",
       [](Tensor h) { return torch::where(hidden(h, false), h, (h.abs() * hidden(h, false).logical_not()).log()); }},
      {"division in the branch that where() hides", "DivBackward0", "div", "aten::div",
       [](Tensor h) { return torch::where(hidden(h, false), h, h / (h.detach() * hidden(h, false).logical_not())); }},
      {"backward of the program's own function", "torch::autograd::CppNode<vigil::SquareRoot>", "mul", "",
       [](Tensor h) { return SquareRoot::apply(h * zero_row(h)); }},
      {"forward of the program's own function", "aten::sqrt", "sqrt", "",
       [](Tensor h) {
         struct Bare : torch::autograd::Function<Bare> {
           static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x) { return x.sqrt(); }
           static torch::autograd::tensor_list backward(torch::autograd::AutogradContext*, const torch::autograd::tensor_list& g) {
             return g;
           }
         };
         return Bare::apply(-h.abs() - 1);
       }},
      {"division in place by zero", "aten::div_", "div", "", [](Tensor h) { return (h * 1).div_(zero_row(h)); }},
      {"a factor that is NaN", "scalar argument of aten::mul", "mul", "", [](Tensor h) { return h * kNaN; }},
      {"a fill with NaN", "scalar argument of aten::masked_fill", "masked_fill", "",
       [](Tensor h) { return h.masked_fill(hidden(h, true), kNaN); }},
      {"a factor in place that is infinite", "scalar argument of aten::mul_", "mul#2", "", [](Tensor h) { return (h * 1).mul_(kInf); }},
      {"derivative of acos at one", "AcosBackward0", "acos", "aten::acos", [](Tensor h) { return torch::acos(h.clamp(-1, 1) * 0 + 1); }},
      {"reciprocal of zero", "aten::reciprocal", "reciprocal", "", [](Tensor h) { return torch::reciprocal(h * zero_row(h)); }},
      {"inverse square root of zero", "aten::rsqrt", "rsqrt", "", [](Tensor h) { return torch::rsqrt(h.abs() * zero_row(h)); }},
      {"standard deviation of one value", "aten::std", "std", "", [](Tensor h) { return h + h.slice(1, 0, 1).std(1, true, true); }},
      {"log of a negative softmax remainder", "aten::log1p", "log1p", "", [](Tensor h) { return torch::log1p(-h.abs() - 1.5); }},
      {"overflow of a sum of squares", "aten::pow", "pow", "", [](Tensor h) { return h + (h * 1e25).pow(2).sum(1, true); }},
  };
}

// --- data, parameters, buffers ----------------------------------------------------------------------------------------------

FaultCase nan_in_input() {
  return {"NaN in the input data", "", {"first", "input data"}, [] {
            const auto net = std::make_shared<StagedNet>();
            const Tensor x = torch::randn({6, 8}), y = torch::randn({6, 8}), bad = x.clone();
            bad.data_ptr<float>()[5] = static_cast<float>(kNaN);
            return Training{net, [=](bool broken) { return torch::mse_loss(net->forward(broken ? bad : x, 3, {}), y); }};
          }};
}

FaultCase nan_in_loaded_input() {
  return {"NaN in data that the step loads", "", {"first", "input data"}, [] {
            const auto net = std::make_shared<StagedNet>();
            const Tensor y = torch::randn({6, 8});
            return Training{net, [=](bool broken) {
                              const Tensor x = torch::empty({6, 8});
                              for (int i = 0; i < 48; ++i) x.data_ptr<float>()[i] = broken && i == 7 ? static_cast<float>(kNaN) : 0.1F;
                              return torch::mse_loss(net->forward(x, 3, {}), y);
                            }};
          }};
}

// A value of a tensor of the model becomes `value` before the step.
template <class Model>
FaultCase broken_tensor(std::string name, Origin origin, std::function<Model()> make, std::function<Tensor(Model&)> loss, double value) {
  return {std::move(name), "", origin, [=] {
            Model model = make();
            const std::string tensor = origin.tensor;
            const auto break_model = [model, tensor, value]() mutable {
              const torch::NoGradGuard no_grad;
              auto tensors = model->named_parameters();
              for (const auto& buffer : model->named_buffers()) tensors.insert(buffer.key(), buffer.value());
              tensors[tensor].view(-1)[2].fill_(value);
            };
            return Training{model.ptr(), [model, loss](bool) mutable { return loss(model); }, 0.01, break_model};
          }};
}

struct SentenceNetImpl : nn::Module {
  Tensor forward(const Tensor& tokens) {
    Tensor x = embedding->forward(tokens);
    x = std::get<0>(lstm->forward(x));
    return head->forward(x.select(1, -1));
  }
  nn::Embedding embedding = register_module("embedding", nn::Embedding(5, 6));
  nn::LSTM lstm = register_module("lstm", nn::LSTM(nn::LSTMOptions(6, 7).batch_first(true)));
  nn::Linear head = register_module("head", nn::Linear(7, 3));
};
TORCH_MODULE(SentenceNet);

Tensor sentence_loss(SentenceNet& net) {
  const Tensor tokens = torch::tensor({{0, 1, 2}, {3, 4, 0}, {1, 1, 2}});
  return torch::cross_entropy_loss(net->forward(tokens), torch::tensor({0, 1, 2}));
}

struct ImageNetImpl : nn::Module {
  Tensor forward(Tensor x) {
    x = torch::relu(norm->forward(conv1->forward(x)));
    x = torch::relu(conv2->forward(x)).mean({2, 3});
    return fc->forward(x);
  }
  nn::Conv2d conv1 = register_module("conv1", nn::Conv2d(1, 4, 3));
  nn::BatchNorm2d norm = register_module("norm", nn::BatchNorm2d(4));
  nn::Conv2d conv2 = register_module("conv2", nn::Conv2d(4, 6, 3));
  nn::Linear fc = register_module("fc", nn::Linear(6, 3));
};
TORCH_MODULE(ImageNet);

// Of a network in evaluation mode, as when its last layers alone are trained.
Tensor image_loss(ImageNet& net) {
  const Tensor x = torch::arange(4 * 64, torch::kFloat).view({4, 1, 8, 8}) / 256;
  return torch::cross_entropy_loss(net->forward(x), torch::tensor({0, 1, 2, 0}));
}

struct AttentionNetImpl : nn::Module {
  Tensor forward(const Tensor& x, const Tensor& mask) {
    const Tensor attended = std::get<0>(attention->forward(x, x, x, {}, true, mask));
    return head->forward(attended + x);
  }
  nn::MultiheadAttention attention = register_module("attention", nn::MultiheadAttention(8, 2));
  nn::Linear head = register_module("head", nn::Linear(8, 4));
};
TORCH_MODULE(AttentionNet);

// A decoder with a mask of -Inf, and around it what looks like a fault and is none: the norm of a zero vector, a logarithm of 0 in a branch
// that where() hides forward, and one that leads nowhere. The fault itself is in another place.
struct BusyNetImpl : nn::Module {
  Tensor forward(const Tensor& tokens, const Fault& before, const Fault& after) {
    Tensor x = embedding->forward(tokens);
    if (before) x = before(x);
    const auto parts = qkv->forward(x).chunk(3, -1);
    Tensor scores = parts[0].matmul(parts[1].transpose(1, 2)) / 4 + mask;
    scores = scores.masked_fill(torch::ones({6, 6}, torch::kBool).triu(1), -kInf);
    Tensor y = x + torch::softmax(scores, -1).matmul(parts[2]);
    torch::log(y.detach() * 0);
    y = y + (y * 0).norm() + torch::where(y.detach() > 0, y.detach(), y.detach() * 0).log().clamp_min(-1) * 0;
    if (after) y = after(y);
    return head->forward(norm->forward(y));
  }
  nn::Embedding embedding = register_module("embedding", nn::Embedding(9, 12));
  nn::Linear qkv = register_module("qkv", nn::Linear(12, 36));
  nn::LayerNorm norm = register_module("norm", nn::LayerNorm(nn::LayerNormOptions({12})));
  nn::Linear head = register_module("head", nn::Linear(12, 9));
  Tensor mask = register_buffer("mask", torch::full({6, 6}, -kInf).triu(1));
};
TORCH_MODULE(BusyNet);

FaultCase beside_masks(const std::string& name, Origin origin, bool is_backward_fault, Fault before, Fault after) {
  return {name + ", beside masks", "", std::move(origin),
          [=] {
            BusyNet net;
            const Tensor tokens = torch::randint(0, 9, {3, 7});
            return Training{net.ptr(), [=](bool broken) mutable {
                              const Tensor out = net->forward(tokens.slice(1, 0, 6), broken ? before : Fault(), broken ? after : Fault());
                              return torch::cross_entropy_loss(out.flatten(0, 1), tokens.slice(1, 1, 7).flatten());
                            }};
          },
          is_backward_fault};
}

FaultCase fully_masked_attention() {
  return {"fully masked row of an attention", "", {"attention/softmax", "aten::softmax"}, [] {
            AttentionNet net;
            const Tensor x = torch::randn({5, 2, 8});
            return Training{net.ptr(), [=](bool broken) mutable {
                              Tensor mask = torch::ones({5, 5}, torch::kBool).triu(1);  // causal
                              if (broken) mask.select(0, 3).fill_(true);
                              return net->forward(x, torch::zeros({5, 5}).masked_fill(mask, -kInf)).pow(2).mean();
                            }};
          }};
}

// Weights grow until a product leaves the range of float32. Which one is found by running the layers one after the other.
FaultCase exploding_learning_rate() {
  return {"exploding learning rate", "", {"middle", "aten::addmm"}, [] {
            const auto net = std::make_shared<StagedNet>();
            const Tensor x = torch::randn({6, 8}), y = torch::randn({6, 8});
            return Training{net, [=](bool) { return torch::mse_loss(net->forward(x, 3, {}), y); }, 1e25};
          }};
}

FaultCase inf_in_labels() {
  return {"Inf in the labels", "", {"last/mse_loss", "input data"}, [] {
            const auto net = std::make_shared<StagedNet>();
            const Tensor x = torch::randn({6, 8}), y = torch::randn({6, 8}), bad = y.clone();
            bad.data_ptr<float>()[3] = static_cast<float>(kInf);
            return Training{net, [=](bool broken) { return torch::mse_loss(net->forward(x, 3, {}), broken ? bad : y); }};
          }};
}

}  // namespace

std::vector<FaultCase> all_fault_cases() {
  std::vector<FaultCase> cases;
  for (const Kind& kind : kinds()) {
    for (std::size_t place = 0; place < kPlaces.size(); ++place) {
      cases.push_back({kind.name,
                       kPlaces[place],
                       {std::string(kPlaces[place]) + "/" + kind.follower, kind.operation, kind.forward_operation},
                       [=] { return staged(place, kind.fault); },
                       is_backward(kind.operation)});
    }
  }
  cases.push_back(nan_in_input());
  cases.push_back(nan_in_loaded_input());
  cases.push_back(inf_in_labels());
  const auto sentences = [] { return SentenceNet(); };
  for (const auto& [tensor, layer, operation] : {std::array{"embedding.weight", "embedding", "parameter"},
                                                 {"lstm.weight_ih_l0", "lstm", "parameter"},
                                                 {"lstm.bias_hh_l0", "lstm", "parameter"},
                                                 {"head.weight", "head", "parameter"}}) {
    cases.push_back(
        broken_tensor<SentenceNet>(std::string("NaN in ") + tensor, {layer, operation, "", tensor}, sentences, sentence_loss, kNaN));
  }
  const auto images = [] {
    ImageNet net;
    net->eval();
    return net;
  };
  for (const auto& [tensor, layer, operation] : {std::array{"conv1.weight", "conv1", "parameter"},
                                                 {"conv2.weight", "conv2", "parameter"},
                                                 {"norm.running_mean", "norm", "buffer"},
                                                 {"fc.bias", "fc", "parameter"}}) {
    cases.push_back(broken_tensor<ImageNet>(std::string("Inf in ") + tensor, {layer, operation, "", tensor}, images, image_loss, kInf));
  }
  cases.push_back(
      broken_tensor<ImageNet>("negative running variance", {"norm", "aten::batch_norm", "", "norm.running_var"}, images, image_loss, -1));
  cases.push_back(fully_masked_attention());
  cases.push_back({"square root in a gradient penalty",
                   "",
                   {"", "SqrtBackward0", "aten::sqrt"},
                   [] {
                     const auto net = std::make_shared<StagedNet>();
                     const Tensor x = torch::randn({6, 8}).requires_grad_(true);
                     return Training{net, [=](bool broken) {
                                       const Tensor y = net->forward(x, 3, {}).mean();
                                       const Tensor gradient = torch::autograd::grad({y}, {x}, {}, true, true)[0];
                                       const Tensor penalty = (gradient * (broken ? 0.0 : 1.0)).pow(2).sum(1).sqrt();
                                       return y + (penalty - 1).pow(2).mean();
                                     }};
                   },
                   true});
  cases.push_back(beside_masks("square root of a negative number", {"embedding/sqrt", "aten::sqrt"}, false,
                               [](Tensor h) { return torch::sqrt(-h.abs() - 1); }, {}));
  cases.push_back(beside_masks("derivative of a square root at zero", {"embedding/sqrt", "SqrtBackward0", "aten::sqrt"}, true,
                               [](Tensor h) { return h + (h * 0).pow(2).sum(-1, true).sqrt(); }, {}));
  cases.push_back(
      beside_masks("overflow of exp", {"qkv/exp", "aten::exp"}, false, {}, [](Tensor h) { return torch::exp(h.abs() * 500 + 100); }));
  cases.push_back(beside_masks("log in the branch that where() hides", {"qkv/log#3", "LogBackward0", "aten::log"}, true, {}, [](Tensor h) {
    return torch::where(hidden(h.select(0, 0), false).unsqueeze(0), h, (h.abs() * hidden(h.select(0, 0), false).logical_not()).log());
  }));
  cases.push_back(exploding_learning_rate());
  return cases;
}

}  // namespace vigil
