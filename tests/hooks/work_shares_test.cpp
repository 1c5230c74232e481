// How threads share the reduction of many tensors, against libtorch's own sharing of elements.
#include "vigil/hooks/work_shares.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <tuple>
#include <vector>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "hooks/thread_count.h"

namespace vigil {
namespace {

constexpr std::size_t kPart = WorkShares::kLeastShareBytes, kFloat = 4;

std::vector<WorkShares::Part> all_parts(const WorkShares& work) {
  const WorkShares::Range parts = work.parts(0, work.size());
  return {parts.begin(), parts.end()};
}

std::vector<std::size_t> bytes_of_shares(const WorkShares& work) {
  std::vector<std::size_t> bytes(work.size());
  for (const auto& part : all_parts(work)) bytes[part.share] += part.bytes;
  return bytes;
}

// Elements of float32: of a transformer, of a convolutional network, many small ones, some whose parts no number of threads divides,
// one that is nearly everything, hardly any.
std::vector<std::vector<std::size_t>> models() {
  std::vector<std::size_t> transformer, convolutions, small(10000, 256), alike(12, 10 * kPart / kFloat);
  transformer.push_back(50257 * 768);
  for (int layer = 0; layer < 12; ++layer) {
    for (const std::size_t n : {768 * 2304, 2304, 768 * 768, 768, 768 * 3072, 3072, 3072 * 768, 768, 768, 768}) transformer.push_back(n);
  }
  for (std::size_t channels = 64; channels <= 2048; channels *= 2) {
    for (const std::size_t n : {channels * channels / 4, channels * channels * 9 / 16, channels, channels}) convolutions.push_back(n);
  }
  return {transformer, convolutions, small, alike, {3, 100'000'000, 5}, {4096, 100'000, 0, 1}};
}

WorkShares shares_of(const std::vector<std::size_t>& counts, std::size_t threads) {
  WorkShares work;
  for (std::size_t i = 0; i < counts.size(); ++i) work.add(static_cast<std::uint32_t>(i), counts[i], kFloat, kPart);
  work.share_out(threads);
  return work;
}

// What keeps a gradient in the cache of the core that computed it: see docs/decisions/0005-kernels.md.
TEST(WorkShares, AThreadGetsThePartOfALargeTensorThatLibtorchGivesIt) {
  for (const int threads : {1, 2, 3, 4, 7}) {
    const ThreadCount restored(threads);
    for (const std::size_t count : {2 * 7 * kPart / kFloat, std::size_t{3'000'000}, std::size_t{9'876'543}}) {
      SCOPED_TRACE(testing::Message() << count << " elements, " << threads << " threads");
      std::vector<std::uint8_t> thread_of(count);
      at::parallel_for(0, static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
        std::fill(thread_of.begin() + begin, thread_of.begin() + end, static_cast<std::uint8_t>(at::get_thread_num()));
      });
      ASSERT_EQ(thread_of.back(), threads - 1) << "libtorch's loop ran on other threads: is this file compiled with OpenMP?";
      const WorkShares work = shares_of({count}, static_cast<std::size_t>(threads));
      ASSERT_EQ(work.size(), static_cast<std::size_t>(threads));
      std::size_t elsewhere = 0;
      for (const auto& part : all_parts(work)) {
        for (std::size_t e = part.begin; e < part.begin + part.count; ++e) elsewhere += thread_of[e] != part.share;
      }
      // But for the part that a border of libtorch's goes through: there are as many as threads, less one.
      EXPECT_LE(elsewhere * kFloat, (static_cast<std::size_t>(threads) - 1) * kPart);
    }
  }
}

TEST(WorkShares, EveryElementIsInOnePartAndPartsAreTheSameForAnyNumberOfThreads) {
  for (const auto& counts : models()) {
    std::vector<WorkShares::Part> expected;
    for (const std::size_t threads : {1, 2, 5, 64}) {
      auto parts = all_parts(shares_of(counts, threads));
      std::sort(parts.begin(), parts.end(),
                [](const auto& a, const auto& b) { return std::tie(a.tensor, a.begin, a.place) < std::tie(b.tensor, b.begin, b.place); });
      std::size_t next = 0;
      for (std::size_t i = 0; i < counts.size(); ++i) {
        std::size_t elements = 0, place = 0;
        for (; next < parts.size() && parts[next].tensor == i; ++next, ++place) {
          ASSERT_EQ(parts[next].begin, elements);
          ASSERT_EQ(parts[next].place, place);
          ASSERT_EQ(parts[next].bytes, parts[next].count * kFloat);
          elements += parts[next].count;
        }
        ASSERT_EQ(elements, counts[i]);
        ASSERT_GE(place, 1u) << "a tensor of no elements has figures too";
      }
      EXPECT_EQ(next, parts.size());
      for (auto& part : parts) part.share = 0;
      if (expected.empty()) expected = parts;
      const auto same = [](const auto& a, const auto& b) {
        return std::tie(a.tensor, a.begin, a.count, a.places) == std::tie(b.tensor, b.begin, b.count, b.places);
      };
      EXPECT_TRUE(std::equal(parts.begin(), parts.end(), expected.begin(), expected.end(), same));
    }
  }
}

TEST(WorkShares, SharesHaveAboutTheSameBytes) {
  for (const auto& counts : models()) {
    const std::size_t bytes = std::accumulate(counts.begin(), counts.end(), std::size_t{0}) * kFloat;
    for (const std::size_t threads : {1, 2, 3, 8}) {
      SCOPED_TRACE(testing::Message() << bytes << " bytes, " << threads << " threads");
      const auto shares = bytes_of_shares(shares_of(counts, threads));
      ASSERT_EQ(shares.size(), std::clamp<std::size_t>(bytes / WorkShares::kLeastShareBytes, 1, threads));
      // Each may be half a part over or under, and the last one has what that leaves.
      const std::size_t fair = bytes / shares.size(), most = fair + kPart * (shares.size() + 1) / 2;
      for (const std::size_t share : shares) EXPECT_LE(share, most);
    }
  }
}

TEST(WorkShares, NothingIsOneEmptyShare) {
  WorkShares work;
  EXPECT_EQ(work.size(), 1u);
  work.share_out(4);
  EXPECT_EQ(work.size(), 1u);
  EXPECT_EQ(work.parts(0, 1).begin(), work.parts(0, 1).end());
}

}  // namespace
}  // namespace vigil
