// Counts every malloc and operator new of the training thread inside vigil's calls: after the first sample there is none.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "hooks/test_model.h"
#include "vigil/operators/operation_cost.h"
#include "vigil/hooks/step_replay.h"
#include "vigil/hooks/training_monitor.h"

namespace {

// Only the thread that raises the flag is counted. Trivial type: reading it allocates nothing.
thread_local bool counting = false;
thread_local std::size_t allocations = 0;

}  // namespace

// glibc's own entry points stay reachable under these names, so malloc can be replaced without dlsym's recursion.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) {
  allocations += counting;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  allocations += counting;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
  allocations += counting;
  return __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  allocations += counting;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  allocations += counting;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  allocations += counting;
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? 12 /* ENOMEM */ : 0;
}
}

namespace vigil {
namespace {

// Counts what `body` allocates on this thread.
template <class Body>
std::size_t allocations_in(Body body) {
  allocations = 0;
  counting = true;
  body();
  counting = false;
  return allocations;
}

TEST(Allocation, TheCounterSeesMallocNewAndTensors) {
  static void* volatile seen;  // or the compiler leaves out what nobody looks at
  EXPECT_GE(allocations_in([] { std::free(seen = std::malloc(10)); }), 1u);
  EXPECT_GE(allocations_in([] { delete static_cast<std::string*>(seen = new std::string(100, 'x')); }), 2u);
  EXPECT_GE(allocations_in([] { torch::ones({3}); }), 1u);
}

TEST(Allocation, CountingTheProductsOfAnOperatorTakesNone) {
  const c10::List<std::int64_t> one{1, 1}, none{0, 0};
  const c10::List<bool> mask{true, true, true, true};
  const torch::Tensor images = torch::rand({2, 3, 4, 4}), weight = torch::rand({2, 3, 2, 2}), matrix = torch::rand({3, 3});
  const std::vector<c10::IValue> convolution{images, weight, torch::Tensor(), one, none, one, false, none, 1};
  const std::vector<c10::IValue> backward{images, images, weight, none, one, none, one, false, none, 1, mask};
  const std::vector<c10::IValue> rnn{matrix, std::vector<torch::Tensor>{matrix, matrix}, mask};
  const std::vector<c10::IValue> product{matrix, matrix, matrix}, sparse{matrix.to_sparse(), matrix}, wrong{"text", 1};
  OutermostProducts outermost;
  std::uint64_t products = 0;
  const auto add = [&](std::string_view name, const std::vector<c10::IValue>& inputs) {
    products += outermost.enter(name, c10::ArrayRef<const c10::IValue>(inputs.data(), inputs.size()));
    outermost.leave();
  };
  EXPECT_EQ(allocations_in([&] {
              add("aten::_convolution", convolution);
              add("aten::convolution_backward", backward);
              add("aten::_cudnn_rnn_backward", rnn);
              add("aten::addmm", product);
              add("aten::mm", sparse);
              add("aten::mm", wrong);
              add("aten::an_operator_with_a_name_that_is_not_counted", wrong);
            }),
            0u);
  EXPECT_GT(products, 0u);
}

class LoopAllocation : public testing::TestWithParam<OnNonfinite> {};

TEST_P(LoopAllocation, IsZeroAfterTheFirstSample) {
  SmallNet net;
  net->fc->bias.set_requires_grad(false);
  torch::optim::Adam optimizer(net->parameters(), 1e-3);
  Config config = quiet_config();
  config.sampling.every_steps = 3;
  config.guard.on_nonfinite = GetParam();
  config.sampling.histogram = {"*"};
  config.sampling.update_ratio = config.sampling.distance = config.sampling.gradient_cosine = config.sampling.optimizer_state = {"*"};
  config.ring.step_records = 16;  // laps are part of the loop
  config.ring.frame_bytes = 64 << 10;
  TrainingMonitor monitor(config);
  monitor.watch(*net, optimizer);
  std::size_t total = 0;
  for (int i = 0; i < 200; ++i) {
    const auto loss = backward_pass(net, optimizer);
    // A non-contiguous gradient, and some NaN: both are ordinary events.
    if (i % 7 == 3) net->fc->weight.mutable_grad() = torch::empty_strided({3, 144}, {300, 2}).normal_();
    if (i % 20 == 10) net->conv->weight.mutable_grad().view({-1})[0] = std::nanf("");
    Verdict verdict = Verdict::proceed;
    const std::size_t here = allocations_in([&] {
      verdict = monitor.after_backward(loss);
      monitor.log("accuracy", i);
    });
    if (verdict == Verdict::proceed) optimizer.step();
    const std::size_t there = allocations_in([&] { monitor.after_step(); });
    // Steps that are observed operator by operator allocate, and so does attaching to the next one.
    const int step = i + 1;
    if (i > 0 && step % 100 != 0) total += here;
    if (i > 0 && (step + 1) % 100 != 0) total += there;
  }
  EXPECT_EQ(total, 0u);
  EXPECT_EQ(*monitor.value("vigil_steps_total"), 200);
  EXPECT_EQ(*monitor.value("vigil_nonfinite_steps_total") >= 10, true);
}

INSTANTIATE_TEST_SUITE_P(EveryPolicy, LoopAllocation, testing::Values(OnNonfinite::warn, OnNonfinite::skip_step, OnNonfinite::stop));

TEST(LateGradients, AllocateNothingWhenTheyCome) {
  SmallNet net;
  torch::nn::Linear large(700, 700);  // split into parts
  net->register_module("large", large);
  torch::optim::SGD optimizer(net->parameters(), 1e-3);
  TrainingMonitor monitor(quiet_config());
  monitor.watch(*net, optimizer);
  std::size_t total = 0;
  for (int i = 0; i < 60; ++i) {
    const auto loss = backward_pass(net, optimizer);
    if (i % 3 == 2) large->weight.mutable_grad() = torch::randn({700, 700});
    const std::size_t here = allocations_in([&] {
      monitor.after_backward(loss);
      monitor.after_step();
    });
    large->weight.mutable_grad() = torch::Tensor();
    if (i > 0) total += here;
  }
  EXPECT_EQ(total, 0u);
}

TEST(Replay, RemembersAStepWithoutAllocation) {
  SmallNet net;
  const torch::Tensor table = torch::zeros({50'000});
  TensorPlaces places({{"fc.weight", net->fc->weight}}, {});
  StepReplay replay(places, {net->fc->weight}, {net->norm->running_mean, net->norm->num_batches_tracked, table});
  replay.remember();
  torch::randn({3});
  EXPECT_EQ(allocations_in([&] {
              for (int i = 0; i < 10; ++i) replay.remember();
            }),
            0u);
}

TEST(MisusedLoop, AllocatesNothingEither) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 1e-3);
  TrainingMonitor monitor(quiet_config());
  monitor.watch(*net, optimizer);
  const torch::Tensor undefined, two = torch::ones({2});
  monitor.after_backward(undefined);
  monitor.after_step();
  EXPECT_EQ(allocations_in([&] {
              for (int i = 0; i < 30; ++i) {
                monitor.after_backward(undefined);
                monitor.after_backward(two);
                monitor.after_step();
                monitor.after_step();
                monitor.log("", 1);
              }
            }),
            0u);
}

}  // namespace
}  // namespace vigil
