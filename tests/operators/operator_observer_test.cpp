// The observer: what a sink is told, on which thread, and that it can do no harm.
#include "vigil/operators/operator_observer.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

namespace vigil {
namespace {

using torch::Tensor;

class Recording : public OperatorSink {
 public:
  struct Seen {
    std::string name;
    int depth;
    bool is_node, in_backward;
    std::size_t inputs;
    std::size_t outputs = 0;
  };
  struct Call : OperatorCall {
    std::size_t index = 0;
  };
  std::unique_ptr<OperatorCall> on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) override {
    int depth = 0;
    for (const OperatorCall* call = parent; call != nullptr; call = call->parent) ++depth;
    seen.push_back({std::string(start.name), depth, start.is_node, in_backward, start.inputs.size()});
    torch::ones({2}).sum();  // unobserved, or this would never end
    auto call = std::make_unique<Call>();
    call->index = seen.size() - 1;
    return call;
  }
  void on_end(OperatorCall& call, c10::ArrayRef<c10::IValue> outputs) override {
    seen[static_cast<Call&>(call).index].outputs = outputs.size();
    ++ends;
  }
  bool has(const std::string& name, bool in_backward) const {
    return std::any_of(seen.begin(), seen.end(), [&](const Seen& one) { return one.name == name && one.in_backward == in_backward; });
  }

  std::vector<Seen> seen;
  std::size_t ends = 0;
};

TEST(Observer, TellsOfOperatorsWithinEachOtherForwardAndBackward) {
  const Tensor x = torch::rand({3, 4}).requires_grad_(true), w = torch::rand({2, 4});
  Recording sink;
  OperatorObserver observer;
  ASSERT_TRUE(observer.attach(sink));
  torch::linear(x, w).log().sum().backward();
  observer.detach();
  ASSERT_FALSE(sink.seen.empty());
  EXPECT_EQ(sink.seen[0].name, "aten::linear");
  EXPECT_EQ(sink.seen[0].depth, 0);
  EXPECT_GT(sink.seen[1].depth, 0) << "what linear calls";
  EXPECT_TRUE(sink.has("aten::log", false));
  EXPECT_TRUE(sink.has("LogBackward0", true));
  EXPECT_TRUE(sink.has("aten::div", true)) << "which LogBackward0 calls";
  EXPECT_FALSE(sink.has("aten::ones", false)) << "the sink's own";
  EXPECT_EQ(sink.ends, sink.seen.size());
  const std::size_t before = sink.seen.size();
  torch::ones({2}).exp();
  EXPECT_EQ(sink.seen.size(), before) << "detached";
}

// TorchScript keeps the first summand on the stack while the second is computed.
TEST(Observer, OperatorsOfTorchScriptHaveTheirOwnInputsAndOutputs) {
  torch::jit::Module net("Net");
  net.register_parameter("w", torch::rand({4, 5}), false);
  net.register_parameter("b", torch::rand({5}), false);
  net.define("def forward(self, x):\n  return self.b + torch.mm(x, self.w)\n");
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);  // as who summarises a model runs it
  Recording sink;
  OperatorObserver observer;
  ASSERT_TRUE(observer.attach(sink));
  net.forward({torch::rand({3, 4})});
  observer.detach();
  const auto mm = std::find_if(sink.seen.begin(), sink.seen.end(), [](const auto& one) { return one.name == "aten::mm"; });
  ASSERT_NE(mm, sink.seen.end());
  EXPECT_EQ(mm->inputs, 2U);
  EXPECT_EQ(mm->outputs, 1U);
}

TEST(Observer, OfOneThreadSeesNoOther) {
  Recording sink;
  OperatorObserver observer;
  ASSERT_TRUE(observer.attach(sink));
  std::thread([] { torch::ones({2}).exp(); }).join();
  EXPECT_TRUE(sink.seen.empty());
  observer.detach();
}

class Throwing : public OperatorSink {
 public:
  explicit Throwing(bool at_end) : at_end_(at_end) {}
  std::unique_ptr<OperatorCall> on_start(const OperatorStart&, const OperatorCall*, bool) override {
    if (!at_end_) throw std::runtime_error("no");
    return std::make_unique<OperatorCall>();
  }
  void on_end(OperatorCall&, c10::ArrayRef<c10::IValue>) override { throw std::runtime_error("no"); }

 private:
  const bool at_end_;
};

TEST(Observer, WhatASinkThrowsStaysInItAndIsCounted) {
  for (const bool at_end : {false, true}) {
    Throwing sink(at_end);
    OperatorObserver observer;
    ASSERT_TRUE(observer.attach(sink));
    const Tensor sum = torch::ones({4}).exp().sum();
    EXPECT_GE(observer.failures(), 3U);
    observer.detach();
    EXPECT_NEAR(sum.item<double>(), 4 * std::exp(1.0), 1e-5);
  }
}

TEST(Observer, AreAsManyAsThereAreSlotsAndThenOneIsRefused) {
  Recording sink;
  std::vector<OperatorObserver> observers(OperatorObserver::kMostAttached);
  for (OperatorObserver& observer : observers) EXPECT_TRUE(observer.attach(sink));
  OperatorObserver one_more;
  EXPECT_FALSE(one_more.attach(sink));
  observers[3].detach();
  EXPECT_TRUE(one_more.attach(sink));
  for (OperatorObserver& observer : observers) observer.detach();
  one_more.detach();
  EXPECT_FALSE(at::hasThreadLocalCallbacks());
}

TEST(Observer, ChangesNoGradient) {
  const auto gradient = [](bool observed) {
    torch::manual_seed(1);
    torch::nn::Linear net(5, 3);
    Recording sink;
    OperatorObserver observer;
    if (observed) observer.attach(sink);
    torch::relu(net->forward(torch::randn({7, 5}))).pow(2).mean().backward();
    observer.detach();
    return net->weight.grad().clone();
  };
  EXPECT_TRUE(torch::equal(gradient(true), gradient(false)));
}

// Last, since it costs a slot.
TEST(Observer, DetachedOnAnotherThreadTellsOfNothingAnyMore) {
  Recording sink, other;
  OperatorObserver observer;
  std::thread([&] {
    ASSERT_TRUE(observer.attach(sink));
    std::thread([&] { observer.detach(); }).join();
    EXPECT_FALSE(observer.is_attached());
    std::thread([&] {
      OperatorObserver second;
      ASSERT_TRUE(second.attach(other));
      second.detach();
    }).join();
    torch::ones({2}).exp();
  }).join();
  EXPECT_TRUE(sink.seen.empty());
  EXPECT_TRUE(other.seen.empty());
}

}  // namespace
}  // namespace vigil
