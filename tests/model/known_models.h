// Models of the literature, with the modules and names of torchvision and of the papers' programs, whose figures are known.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include <torch/torch.h>

namespace vigil::test {

namespace nn = torch::nn;

// LeCun et al. 1998 as it is built today: full connections in the second convolution.
struct LeNet5Impl : nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return classifier->forward(features->forward(x).flatten(1)); }
  nn::Sequential features = register_module(
      "features", nn::Sequential(nn::Conv2d(1, 6, 5), nn::ReLU(), nn::MaxPool2d(2), nn::Conv2d(6, 16, 5), nn::ReLU(), nn::MaxPool2d(2)));
  nn::Sequential classifier =
      register_module("classifier", nn::Sequential(nn::Linear(400, 120), nn::ReLU(), nn::Linear(120, 84), nn::ReLU(), nn::Linear(84, 10)));
};
TORCH_MODULE(LeNet5);

inline nn::Conv2d convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

// He et al. 2015; the stride stands at the 3x3 convolution, as in torchvision.
struct BasicBlockImpl : nn::Module {
  static constexpr std::int64_t kExpansion = 1;
  BasicBlockImpl(std::int64_t in, std::int64_t planes, std::int64_t stride)
      : conv1(register_module("conv1", convolution(in, planes, 3, stride))),
        bn1(register_module("bn1", nn::BatchNorm2d(planes))),
        relu(register_module("relu", nn::ReLU(nn::ReLUOptions(true)))),
        conv2(register_module("conv2", convolution(planes, planes, 3))),
        bn2(register_module("bn2", nn::BatchNorm2d(planes))) {
    if (stride == 1 && in == planes) return;
    downsample = register_module("downsample", nn::Sequential(convolution(in, planes, 1, stride), nn::BatchNorm2d(planes)));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor out = bn2(conv2(relu(bn1(conv1(x)))));
    out += downsample ? downsample->forward(x) : x;
    return relu(out);
  }
  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::ReLU relu;
  nn::Conv2d conv2;
  nn::BatchNorm2d bn2;
  nn::Sequential downsample{nullptr};
};
TORCH_MODULE(BasicBlock);

struct BottleneckImpl : nn::Module {
  static constexpr std::int64_t kExpansion = 4;
  BottleneckImpl(std::int64_t in, std::int64_t planes, std::int64_t stride)
      : conv1(register_module("conv1", convolution(in, planes, 1))),
        bn1(register_module("bn1", nn::BatchNorm2d(planes))),
        conv2(register_module("conv2", convolution(planes, planes, 3, stride))),
        bn2(register_module("bn2", nn::BatchNorm2d(planes))),
        conv3(register_module("conv3", convolution(planes, 4 * planes, 1))),
        bn3(register_module("bn3", nn::BatchNorm2d(4 * planes))),
        relu(register_module("relu", nn::ReLU(nn::ReLUOptions(true)))) {
    if (stride == 1 && in == 4 * planes) return;
    downsample = register_module("downsample", nn::Sequential(convolution(in, 4 * planes, 1, stride), nn::BatchNorm2d(4 * planes)));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor out = bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x))))))));
    out += downsample ? downsample->forward(x) : x;
    return relu(out);
  }
  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Conv2d conv2;
  nn::BatchNorm2d bn2;
  nn::Conv2d conv3;
  nn::BatchNorm2d bn3;
  nn::ReLU relu;
  nn::Sequential downsample{nullptr};
};
TORCH_MODULE(Bottleneck);

template <class Block>
struct ResNetImpl : nn::Module {
  explicit ResNetImpl(const std::vector<int>& depths) : nn::Module("ResNet") {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    register_module("relu", relu);
    register_module("maxpool", maxpool);
    std::int64_t in = 64;
    for (std::size_t i = 0; i < depths.size(); ++i) {
      const std::int64_t planes = std::int64_t{64} << i;
      nn::Sequential layer;
      for (int block = 0; block < depths[i]; ++block) {
        layer->push_back(Block(in, planes, i > 0 && block == 0 ? 2 : 1));
        in = planes * Block::Impl::kExpansion;
      }
      layers.push_back(register_module("layer" + std::to_string(i + 1), layer));
    }
    register_module("avgpool", avgpool);
    fc = register_module("fc", nn::Linear(in, 1000));
  }
  torch::Tensor forward(torch::Tensor x) {
    x = maxpool(relu(bn1(conv1(x))));
    for (nn::Sequential& layer : layers) x = layer->forward(x);
    return fc(avgpool(x).flatten(1));
  }
  nn::Conv2d conv1 = convolution(3, 64, 7, 2);
  nn::BatchNorm2d bn1{64};
  nn::ReLU relu{nn::ReLUOptions(true)};
  nn::MaxPool2d maxpool{nn::MaxPool2dOptions(3).stride(2).padding(1)};
  std::vector<nn::Sequential> layers;
  nn::AdaptiveAvgPool2d avgpool{nn::AdaptiveAvgPool2dOptions({1, 1})};
  nn::Linear fc{nullptr};
};
inline auto resnet18() { return std::make_shared<ResNetImpl<BasicBlock>>(std::vector<int>{2, 2, 2, 2}); }
inline auto resnet50() { return std::make_shared<ResNetImpl<Bottleneck>>(std::vector<int>{3, 4, 6, 3}); }

// Simonyan & Zisserman 2014, configuration D.
struct Vgg16Impl : nn::Module {
  Vgg16Impl() {
    std::int64_t in = 3;
    for (const std::int64_t out : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
      if (out == 0) {
        features->push_back(nn::MaxPool2d(2));
        continue;
      }
      features->push_back(nn::Conv2d(nn::Conv2dOptions(in, out, 3).padding(1)));
      features->push_back(nn::ReLU(nn::ReLUOptions(true)));
      in = out;
    }
    register_module("features", features);
    register_module("avgpool", avgpool);
    register_module("classifier", classifier);
  }
  torch::Tensor forward(const torch::Tensor& x) { return classifier->forward(avgpool(features->forward(x)).flatten(1)); }
  nn::Sequential features;
  nn::AdaptiveAvgPool2d avgpool{nn::AdaptiveAvgPool2dOptions({7, 7})};
  nn::Sequential classifier{nn::Linear(512 * 7 * 7, 4096), nn::ReLU(), nn::Dropout(), nn::Linear(4096, 4096), nn::ReLU(), nn::Dropout(),
                            nn::Linear(4096, 1000)};
};
TORCH_MODULE(Vgg16);

// Radford et al. 2019: "small". The head has the embedding's weights.
struct Gpt2AttentionImpl : nn::Module {
  Gpt2AttentionImpl(std::int64_t width, std::int64_t heads_, std::int64_t positions)
      : heads(heads_),
        c_attn(register_module("c_attn", nn::Linear(width, 3 * width))),
        c_proj(register_module("c_proj", nn::Linear(width, width))),
        bias(register_buffer("bias", torch::ones({positions, positions}, torch::kBool).tril())) {}
  torch::Tensor forward(const torch::Tensor& x) {
    const std::int64_t batch = x.size(0), tokens = x.size(1), width = x.size(2);
    std::vector<torch::Tensor> parts = c_attn(x).split(width, 2);
    for (torch::Tensor& part : parts) part = part.view({batch, tokens, heads, width / heads}).transpose(1, 2);
    torch::Tensor scores = parts[0].matmul(parts[1].transpose(2, 3)) / std::sqrt(static_cast<double>(width / heads));
    scores = scores.masked_fill(bias.slice(0, 0, tokens).slice(1, 0, tokens).logical_not(), -1e9);
    return c_proj(scores.softmax(-1).matmul(parts[2]).transpose(1, 2).contiguous().view({batch, tokens, width}));
  }
  std::int64_t heads;
  nn::Linear c_attn, c_proj;
  torch::Tensor bias;
};
TORCH_MODULE(Gpt2Attention);

struct Gpt2MlpImpl : nn::Module {
  explicit Gpt2MlpImpl(std::int64_t width)
      : c_fc(register_module("c_fc", nn::Linear(width, 4 * width))),
        act(register_module("act", nn::GELU())),
        c_proj(register_module("c_proj", nn::Linear(4 * width, width))) {}
  torch::Tensor forward(const torch::Tensor& x) { return c_proj(act(c_fc(x))); }
  nn::Linear c_fc;
  nn::GELU act;
  nn::Linear c_proj;
};
TORCH_MODULE(Gpt2Mlp);

inline nn::LayerNorm layer_norm(std::int64_t width) { return nn::LayerNorm(nn::LayerNormOptions({width})); }

struct Gpt2BlockImpl : nn::Module {
  Gpt2BlockImpl(std::int64_t width, std::int64_t heads, std::int64_t positions)
      : ln_1(register_module("ln_1", layer_norm(width))),
        attn(register_module("attn", Gpt2Attention(width, heads, positions))),
        ln_2(register_module("ln_2", layer_norm(width))),
        mlp(register_module("mlp", Gpt2Mlp(width))) {}
  torch::Tensor forward(torch::Tensor x) {
    x = x + attn(ln_1(x));
    return x + mlp(ln_2(x));
  }
  nn::LayerNorm ln_1;
  Gpt2Attention attn;
  nn::LayerNorm ln_2;
  Gpt2Mlp mlp;
};
TORCH_MODULE(Gpt2Block);

struct Gpt2Impl : nn::Module {
  Gpt2Impl() : nn::Module("Gpt2") {
    register_module("wte", wte);
    register_module("wpe", wpe);
    for (int i = 0; i < 12; ++i) h->push_back(Gpt2Block(768, 12, 1024));
    register_module("h", h);
    register_module("ln_f", ln_f);
    lm_head->weight.set_data(wte->weight.detach());
    register_module("lm_head", lm_head);
  }
  torch::Tensor forward(const torch::Tensor& tokens) {
    torch::Tensor x = wte(tokens) + wpe(torch::arange(tokens.size(1)));
    for (const auto& block : *h) x = block->as<Gpt2BlockImpl>()->forward(x);
    return lm_head(ln_f(x));
  }
  nn::Embedding wte{50257, 768}, wpe{1024, 768};
  nn::ModuleList h;
  nn::LayerNorm ln_f = layer_norm(768);
  nn::Linear lm_head{nn::LinearOptions(768, 50257).bias(false)};
};
TORCH_MODULE(Gpt2);

// Dosovitskiy et al. 2020, as torchvision's vit_b_16 for 224x224.
struct VitBlockImpl : nn::Module {
  torch::Tensor forward(const torch::Tensor& x) {
    const torch::Tensor y = ln_1(x).transpose(0, 1);  // libtorch's attention takes the tokens first
    const torch::Tensor sum = dropout(std::get<0>(self_attention->forward(y, y, y)).transpose(0, 1)) + x;
    return sum + mlp->forward(ln_2(sum));
  }
  nn::LayerNorm ln_1 = register_module("ln_1", layer_norm(768));
  nn::MultiheadAttention self_attention = register_module("self_attention", nn::MultiheadAttention(768, 12));
  nn::Dropout dropout = register_module("dropout", nn::Dropout(0.1));
  nn::LayerNorm ln_2 = register_module("ln_2", layer_norm(768));
  nn::Sequential mlp =
      register_module("mlp", nn::Sequential(nn::Linear(768, 3072), nn::GELU(), nn::Dropout(0.1), nn::Linear(3072, 768), nn::Dropout(0.1)));
};
TORCH_MODULE(VitBlock);

struct VitB16Impl : nn::Module {
  VitB16Impl() {
    for (int i = 0; i < 12; ++i) layers->push_back(VitBlock());
    register_module("conv_proj", conv_proj);
    class_token = register_parameter("class_token", torch::zeros({1, 1, 768}));
    pos_embedding = register_parameter("pos_embedding", torch::zeros({1, 197, 768}));
    register_module("layers", layers);
    register_module("ln", ln);
    register_module("head", head);
  }
  torch::Tensor forward(const torch::Tensor& image) {
    const torch::Tensor patches = conv_proj(image).flatten(2).transpose(1, 2);
    const torch::Tensor tokens = torch::cat({class_token.expand({image.size(0), 1, 768}), patches}, 1) + pos_embedding;
    return head(ln(layers->forward(tokens)).select(1, 0));
  }
  nn::Conv2d conv_proj{nn::Conv2dOptions(3, 768, 16).stride(16)};
  torch::Tensor class_token, pos_embedding;
  nn::Sequential layers;
  nn::LayerNorm ln = layer_norm(768);
  nn::Linear head{768, 1000};
};
TORCH_MODULE(VitB16);

}  // namespace vigil::test
