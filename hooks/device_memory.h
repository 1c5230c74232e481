// What libtorch's caching allocator holds of a device's memory.
#pragma once

#include <cstdint>
#include <optional>

#include <c10/core/Device.h>

namespace vigil {

/// Of one device and this process, since its start.
struct DeviceMemory {
  std::uint64_t allocated = 0;           // bytes in tensors now
  std::uint64_t reserved = 0;            // bytes that the allocator holds now, with what it keeps for later tensors
  std::uint64_t peak = 0;                // most bytes in tensors at once; anew from when a program resets the allocator's peaks
  std::uint64_t allocation_retries = 0;  // times that the allocator gave its free blocks back to the device to get another one
  std::uint64_t out_of_memory = 0;       // allocations that failed even so
};

/// Empty for the CPU and other devices whose allocator keeps no statistics, for CUDA when vigil was built against a libtorch without it,
/// before CUDA's allocator is initialised, and for a device without index or that is not there (this costs an exception, which is caught).
/// Takes the allocator's lock and does not wait for the device. Any thread.
///
/// The part for CUDA is not run by the tests: they have no such device. It reads what `torch.cuda.memory_stats()` shows.
std::optional<DeviceMemory> read_device_memory(c10::Device device) noexcept;

}  // namespace vigil
