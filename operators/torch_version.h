// What differs between the versions of libtorch that vigil supports, and nothing else.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/version.h>

namespace vigil {

#define VIGIL_TORCH_AT_LEAST(major, minor) \
  (TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

/// The tensor's memory for reading. From 2.1 on, asking for writable memory copies a copy-on-write tensor.
inline const void* read_pointer(const at::Tensor& tensor) {
#if VIGIL_TORCH_AT_LEAST(2, 1)
  return tensor.const_data_ptr();
#else
  return tensor.data_ptr();
#endif
}

}  // namespace vigil
