// libtorch's quantised operators, called through its dispatcher: their C++ functions are not exported.
#pragma once

#include <string>
#include <tuple>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <c10/core/QEngine.h>

namespace vigil {

/// Packed weights of quantized::linear_prepack. @param weight  qint8, [out, in] @param bias  float32, [out], or undefined
/// @throws std::runtime_error with libtorch's reason where the engine cannot
c10::IValue packed_linear(at::QEngine engine, const at::Tensor& weight, const at::Tensor& bias);

/// quantized::linear_dynamic. @param input  float32 on the CPU, [..., in], at least two dimensions
at::Tensor dynamic_linear(const at::Tensor& input, const c10::IValue& packed, bool reduce_range);

/// A cell for dynamic_lstm(). @throws as packed_linear()
c10::IValue packed_cell(at::QEngine engine, const at::Tensor& input_weight, const at::Tensor& hidden_weight, const at::Tensor& input_bias,
                        const at::Tensor& hidden_bias, bool reduce_range);

/// libtorch's list of packed cells, at least one.
c10::IValue list_of_cells(const std::vector<c10::IValue>& cells);

/// aten::quantized_lstm. @return output, h, c
std::tuple<at::Tensor, at::Tensor, at::Tensor> dynamic_lstm(const at::Tensor& input, const at::Tensor& hidden, const at::Tensor& cell,
                                                            const c10::IValue& cells, std::int64_t layers, double dropout, bool is_training,
                                                            bool is_bidirectional, bool batch_first);

/// Whether this machine's 8-bit products are added in 32 bits (AVX512-VNNI, where the system lets programs use it); true where they are not
/// x86's. Of ONEDNN_MAX_CPU_ISA, which keeps oneDNN from instructions, it does not know.
bool adds_in_32_bits();

}  // namespace vigil
