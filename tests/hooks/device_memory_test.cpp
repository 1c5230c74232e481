#include "vigil/hooks/device_memory.h"

#include <gtest/gtest.h>

namespace vigil {
namespace {

TEST(DeviceMemory, IsUnknownForDevicesWithoutStatistics) {
  EXPECT_FALSE(read_device_memory(c10::Device(c10::kCPU)));
  EXPECT_FALSE(read_device_memory(c10::Device(c10::DeviceType::Meta, 0)));
}

TEST(DeviceMemory, IsUnknownForDevicesThatAreNotThere) {
  EXPECT_FALSE(read_device_memory(c10::Device(c10::kCUDA))) << "which one?";
  EXPECT_FALSE(read_device_memory(c10::Device(c10::kCUDA, 100)));
}

}  // namespace
}  // namespace vigil
