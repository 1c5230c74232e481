// Fresh random data in memory as tensors have it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace vigil::bench {

/// N(0, 0.02), as weights and gradients are; allocated by at::empty.
at::Tensor random_tensor(at::IntArrayRef shape, at::ScalarType type = at::kFloat);

/// How many bytes a benchmark must go through before it touches any of them again, for them to come from DRAM: four times the last-level
/// cache, but 256 MiB at least and 512 MiB at most. (What the system calls the last-level cache may be the sum over a package of which one
/// core reaches a small part.)
std::size_t dram_bytes();

using Shapes = std::vector<std::vector<std::int64_t>>;

Shapes resnet50_shapes();    ///< 161 tensors, 25,557,032 elements: torchvision's resnet50
Shapes gpt2_small_shapes();  ///< 148 tensors, 124,439,808 elements: GPT-2 with 12 layers of 768, embedding tied to the head
Shapes equal_shapes(std::size_t tensors, std::int64_t elements);

std::vector<at::Tensor> random_tensors(const Shapes& shapes);

}  // namespace vigil::bench
