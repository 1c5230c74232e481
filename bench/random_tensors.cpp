#include "bench/random_tensors.h"

#include <unistd.h>
#include <algorithm>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>

#include <ATen/ATen.h>

namespace vigil::bench {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

void expect_size(const Shapes& shapes, std::size_t tensors, std::int64_t elements) {
  std::int64_t sum = 0;
  for (const auto& shape : shapes) sum += std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  if (shapes.size() == tensors && sum == elements) return;
  throw std::logic_error("a parameter set has " + std::to_string(shapes.size()) + " tensors of " + std::to_string(sum) + " elements");
}

}  // namespace

at::Tensor random_tensor(at::IntArrayRef shape, at::ScalarType type) {
  at::Tensor tensor = at::empty(shape, type);
  if (type == at::kFloat || type == at::kDouble) return tensor.normal_(0, 0.02);
  // libtorch 1.13 has no normal_ for float16.
  at::Tensor flat = tensor.view({-1}), wide = at::empty({std::int64_t{1} << 18});
  for (std::int64_t begin = 0; begin < flat.numel(); begin += wide.numel()) {
    const std::int64_t count = std::min(wide.numel(), flat.numel() - begin);
    flat.narrow(0, begin, count).copy_(wide.normal_(0, 0.02).narrow(0, 0, count));
  }
  return tensor;
}

std::size_t dram_bytes() {
  long cache = std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
  if (cache < 0) cache = 0;  // not known
  return std::clamp(4 * static_cast<std::size_t>(cache), 256 * kMiB, 512 * kMiB);
}

Shapes resnet50_shapes() {
  Shapes shapes;
  const auto convolution = [&shapes](std::int64_t in, std::int64_t out, std::int64_t kernel) {
    shapes.insert(shapes.end(), {{out, in, kernel, kernel}, {out}, {out}});  // with BatchNorm's weight and bias
  };
  convolution(3, 64, 7);
  std::int64_t in = 64;
  const std::int64_t blocks[] = {3, 4, 6, 3};
  for (int stage = 0; stage < 4; ++stage) {
    const std::int64_t width = 64 << stage;
    for (std::int64_t block = 0; block < blocks[stage]; ++block) {
      convolution(in, width, 1);
      convolution(width, width, 3);
      convolution(width, 4 * width, 1);
      if (block == 0) convolution(in, 4 * width, 1);
      in = 4 * width;
    }
  }
  shapes.insert(shapes.end(), {{1000, in}, {1000}});
  expect_size(shapes, 161, 25'557'032);
  return shapes;
}

Shapes gpt2_small_shapes() {
  constexpr std::int64_t kWidth = 768;
  Shapes shapes{{50257, kWidth}, {1024, kWidth}};
  for (int layer = 0; layer < 12; ++layer) {
    shapes.insert(shapes.end(), {{kWidth}, {kWidth}});                  // norm before the attention
    shapes.insert(shapes.end(), {{kWidth, 3 * kWidth}, {3 * kWidth}});  // query, key, value
    shapes.insert(shapes.end(), {{kWidth, kWidth}, {kWidth}});          // projection
    shapes.insert(shapes.end(), {{kWidth}, {kWidth}});                  // norm before the MLP
    shapes.insert(shapes.end(), {{kWidth, 4 * kWidth}, {4 * kWidth}});
    shapes.insert(shapes.end(), {{4 * kWidth, kWidth}, {kWidth}});
  }
  shapes.insert(shapes.end(), {{kWidth}, {kWidth}});
  expect_size(shapes, 148, 124'439'808);
  return shapes;
}

Shapes equal_shapes(std::size_t tensors, std::int64_t elements) { return Shapes(tensors, {elements}); }

std::vector<at::Tensor> random_tensors(const Shapes& shapes) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(shapes.size());
  for (const auto& shape : shapes) tensors.push_back(random_tensor(shape));
  return tensors;
}

}  // namespace vigil::bench
