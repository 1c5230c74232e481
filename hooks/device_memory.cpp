#include "vigil/hooks/device_memory.h"

#ifdef VIGIL_HAS_CUDA
#include <algorithm>
#include <cstddef>

#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace vigil {

#ifdef VIGIL_HAS_CUDA

std::optional<DeviceMemory> read_device_memory(c10::Device device) noexcept {
  if (!device.is_cuda() || !device.has_index()) return std::nullopt;
  try {
    const auto statistics = c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
    constexpr std::size_t kAllPools = 0;  // StatType::AGGREGATE, whose namespace differs between versions
    const auto unsigned_of = [](std::int64_t value) { return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0)); };
    DeviceMemory memory;
    memory.allocated = unsigned_of(statistics.allocated_bytes[kAllPools].current);
    memory.reserved = unsigned_of(statistics.reserved_bytes[kAllPools].current);
    memory.peak = unsigned_of(statistics.allocated_bytes[kAllPools].peak);
    memory.allocation_retries = unsigned_of(statistics.num_alloc_retries);
    memory.out_of_memory = unsigned_of(statistics.num_ooms);
    return memory;
  } catch (...) {  // no such device, or none yet
    return std::nullopt;
  }
}

#else

std::optional<DeviceMemory> read_device_memory(c10::Device) noexcept { return std::nullopt; }

#endif

}  // namespace vigil
