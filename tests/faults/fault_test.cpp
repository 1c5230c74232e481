// Trainings that break: the origin named is the true one, every time.
#include <gtest/gtest.h>
#include <cstdio>
#include "faults/fault_cases.h"
#include "vigil/hooks/step_replay.h"

namespace vigil {
namespace {
TEST(Faults, AreNamed) {
  int wrong = 0;
  for (const FaultCase& fault : all_fault_cases()) {
    torch::manual_seed(1);
    Training training = fault.make();
    TensorPlaces::NamedTensors parameters, buffers;
    std::vector<at::Tensor> p, b;
    for (auto& item : training.model->named_parameters()) parameters.emplace_back(item.key(), item.value()), p.push_back(item.value());
    for (auto& item : training.model->named_buffers()) buffers.emplace_back(item.key(), item.value()), b.push_back(item.value());
    TensorPlaces places(parameters, buffers);
    StepReplay replay(places, p, b);
    torch::optim::SGD optimizer(training.model->parameters(), training.learning_rate);
    for (int i = 0; i < 2; ++i) {
      optimizer.zero_grad();
      auto l = training.loss(false);
      l.backward();
      if (!l.isfinite().item<bool>()) break;
      optimizer.step();
    }
    training.break_model();
    replay.remember();
    auto result = [&] { auto c = [&]() -> at::Tensor { return training.loss(true); }; return replay.run(LossClosure(c)); }();
    const bool ok = result.provenance && result.provenance->operation == fault.origin.operation &&
                    result.provenance->layer == fault.origin.layer &&
                    result.provenance->forward_operation == fault.origin.forward_operation;
    wrong += !ok;
    if (!ok || fault.place == "middle" || fault.place.empty())
      std::printf(
          "%s %-45s %-7s %s | %s\n", ok ? "ok " : "BAD", fault.name.c_str(), fault.place.c_str(),
          result.provenance
              ? (result.provenance->operation + " @ " + result.provenance->layer + " fwd " + result.provenance->forward_operation).c_str()
              : "none",
          result.provenance ? result.provenance->message.c_str() : "");
  }
  EXPECT_EQ(wrong, 0);
}
}  // namespace
}  // namespace vigil
