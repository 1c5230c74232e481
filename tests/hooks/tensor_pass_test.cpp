// The pass over many tensors against the reduction of each by itself.
#include "vigil/hooks/tensor_pass.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "hooks/thread_count.h"
#include "vigil/monitor/reduction.h"

namespace vigil {
namespace {

// Sizes on both sides of a part and of two, many small ones, and nothing.
std::vector<torch::Tensor> tensors_of_all_sizes(torch::ScalarType type = torch::kFloat) {
  torch::manual_seed(1);
  const auto part = static_cast<std::int64_t>(TensorPass::kLeastPartBytes) / 4;
  std::vector<torch::Tensor> tensors;
  for (const std::int64_t size : {std::int64_t{1}, std::int64_t{0}, std::int64_t{300}, part - 1, part, part + 1, 2 * part, 2 * part + 1,
                                  5 * part + 17, std::int64_t{7}}) {
    tensors.push_back((torch::randn({size}) * 0.02).to(type));
  }
  for (int i = 0; i < 300; ++i) tensors.push_back(torch::randn({256}).to(type));
  return tensors;
}

void set_all(TensorPass& pass, const std::vector<torch::Tensor>& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) pass.set(i, *dense_memory(tensors[i]));
}

void expect_close(double expected, double actual) { EXPECT_LE(std::fabs(expected - actual), 1e-6 * std::fabs(expected)); }

TEST(TensorPass, GivesEachTensorTheFiguresThatItHasAlone) {
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kBFloat16, torch::kHalf}) {
    SCOPED_TRACE(torch::toString(type));
    const auto tensors = tensors_of_all_sizes(type);
    TensorPass pass(tensors.size());
    std::vector<MagnitudeHistogram> histograms(tensors.size());
    for (std::size_t i = 0; i < tensors.size(); i += 2) pass.set_histogram(i, &histograms[i]);
    set_all(pass, tensors);
    pass.run(TensorPass::Mode::norms);
    pass.run(TensorPass::Mode::moments);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      SCOPED_TRACE(i);
      MagnitudeHistogram magnitudes;
      const Moments alone = reduce_in_place(tensors[i], &magnitudes), together = pass.moments(i);
      EXPECT_EQ(alone.count, together.count);
      EXPECT_EQ(alone.zero_count, together.zero_count);
      EXPECT_EQ(alone.min, together.min);
      EXPECT_EQ(alone.max, together.max);
      expect_close(alone.l1, together.l1);
      expect_close(l2_norm(alone), l2_norm(together));
      if (alone.count > 0) expect_close(standard_deviation(alone), standard_deviation(together));
      expect_close(l2_norm(alone), pass.norm(i).l2_norm);
      EXPECT_TRUE(pass.norm(i).all_finite);
      EXPECT_TRUE(std::isnan(pass.update_norm(i)));
      EXPECT_EQ(histograms[i].buckets, i % 2 == 0 ? magnitudes.buckets : MagnitudeHistogram{}.buckets);
    }
  }
}

TEST(TensorPass, RunsOnSeveralThreadsAndGivesTheSameBitsOnAnyNumber) {
  const auto tensors = tensors_of_all_sizes();
  const auto bits_with = [&](int threads) {
    const ThreadCount restored(threads);
    TensorPass pass(tensors.size());
    set_all(pass, tensors);
    pass.run(TensorPass::Mode::moments);
    EXPECT_EQ(pass.threads(), threads);
    std::vector<Moments> all;
    for (std::size_t i = 0; i < tensors.size(); ++i) all.push_back(pass.moments(i));
    return all;
  };
  const auto one = bits_with(1);
  for (const int threads : {2, 3, 5}) {
    const auto several = bits_with(threads);
    EXPECT_EQ(std::memcmp(one.data(), several.data(), one.size() * sizeof(Moments)), 0);
  }
}

TEST(TensorPass, FollowsAChangeOfTheNumberOfThreads) {
  const auto tensors = tensors_of_all_sizes();
  TensorPass pass(tensors.size());
  set_all(pass, tensors);
  pass.prepare();
  for (const int threads : {1, 3, 2}) {
    const ThreadCount restored(threads);
    set_all(pass, tensors);
    pass.run(TensorPass::Mode::moments);
    EXPECT_EQ(pass.threads(), threads);
    for (std::size_t i = 0; i < tensors.size(); ++i) EXPECT_EQ(pass.moments(i).count, static_cast<std::uint64_t>(tensors[i].numel()));
  }
}

TEST(TensorPass, LittleWorkStaysOnTheCallingThread) {
  const ThreadCount restored(2);
  TensorPass pass(1);
  const auto tensor = torch::randn({1000});
  pass.set(0, *dense_memory(tensor));
  pass.run(TensorPass::Mode::moments);
  EXPECT_EQ(pass.threads(), 1);
}

TEST(TensorPass, NothingSetIsNothingDone) {
  TensorPass none(0), empty(3);
  none.run(TensorPass::Mode::moments);
  empty.run(TensorPass::Mode::norms);
  empty.keep();
  EXPECT_FALSE(empty.is_set(0));
}

TEST(TensorPass, FollowsATensorToOtherMemoryAndAnotherSize) {
  TensorPass pass(2);
  const auto first = torch::ones({10}), second = torch::full({10}, 2.0), longer = torch::full({400000}, 3.0), other = torch::ones({5});
  pass.set(0, *dense_memory(first));
  pass.set(1, *dense_memory(other));
  pass.run(TensorPass::Mode::moments);
  EXPECT_EQ(pass.moments(0).mean, 1);
  pass.set(0, *dense_memory(second));
  pass.run(TensorPass::Mode::moments);
  EXPECT_EQ(pass.moments(0).mean, 2);
  pass.set(0, *dense_memory(longer));
  pass.run(TensorPass::Mode::moments);
  EXPECT_EQ(pass.moments(0).mean, 3);
  EXPECT_EQ(pass.moments(0).count, 400000u);
  EXPECT_EQ(pass.moments(1).count, 5u);
  pass.clear(0);
  pass.run(TensorPass::Mode::moments);
  EXPECT_FALSE(pass.is_set(0));
  EXPECT_EQ(pass.moments(1).count, 5u);
}

TEST(TensorPass, NanAndInfInAnyPartAreSeen) {
  auto tensor = torch::randn({700000});
  TensorPass pass(1);
  pass.set(0, *dense_memory(tensor));
  tensor[699999] = std::numeric_limits<float>::infinity();
  pass.run(TensorPass::Mode::norms);
  EXPECT_FALSE(pass.norm(0).all_finite);
  EXPECT_TRUE(std::isinf(pass.norm(0).l2_norm));
  tensor[100000] = std::nanf("");
  pass.run(TensorPass::Mode::norms);
  EXPECT_TRUE(std::isnan(pass.norm(0).l2_norm));
  pass.run(TensorPass::Mode::moments);
  EXPECT_EQ(pass.moments(0).nan_count, 1u);
  EXPECT_EQ(pass.moments(0).inf_count, 1u);
}

TEST(TensorPass, UpdateIsTheNormOfWhatChangedSinceTheCopy) {
  for (const bool with_histogram : {false, true}) {
    for (const std::int64_t size : {10, 1000000}) {
      auto tensor = torch::randn({size});
      MagnitudeHistogram histogram;
      TensorPass pass(2);  // the second slot keeps nothing
      pass.keep_previous(0, tensor.nbytes());
      if (with_histogram) pass.set_histogram(0, &histogram);
      pass.set(0, *dense_memory(tensor));
      pass.set(1, *dense_memory(tensor));
      pass.run(TensorPass::Mode::moments);
      EXPECT_TRUE(std::isnan(pass.update_norm(0)));
      pass.keep();
      auto before = tensor.clone();
      tensor += torch::randn({size}) * 1e-3;
      pass.run(TensorPass::Mode::moments, true);
      expect_close((tensor.to(torch::kDouble) - before.to(torch::kDouble)).norm().item<double>(), pass.update_norm(0));
      EXPECT_TRUE(std::isnan(pass.update_norm(1)));
      // The pass kept the weights itself.
      before = tensor.clone();
      tensor += torch::randn({size}) * 1e-2;
      pass.run(TensorPass::Mode::norms);
      pass.run(TensorPass::Mode::moments);
      expect_close((tensor.to(torch::kDouble) - before.to(torch::kDouble)).norm().item<double>(), pass.update_norm(0));
      EXPECT_EQ(pass.moments(0).count, static_cast<std::uint64_t>(size));
      if (with_histogram) {
        MagnitudeHistogram expected;
        reduce_in_place(tensor, &expected);
        EXPECT_EQ(histogram.buckets, expected.buckets);
      }
      // That pass kept nothing.
      pass.run(TensorPass::Mode::moments);
      EXPECT_TRUE(std::isnan(pass.update_norm(0)));
    }
  }
}

TEST(TensorPass, ATensorOfAnotherSizeThanItsCopyIsNotCompared) {
  const auto small = torch::ones({100}), large = torch::ones({200});
  TensorPass pass(1);
  pass.keep_previous(0, small.nbytes());
  pass.set(0, *dense_memory(small));
  pass.keep();
  pass.set(0, *dense_memory(large));
  pass.run(TensorPass::Mode::moments, true);
  EXPECT_TRUE(std::isnan(pass.update_norm(0)));
  EXPECT_EQ(pass.moments(0).count, 200u);
}

}  // namespace
}  // namespace vigil
