// Watches one forward pass: what comes out of each layer, and what follows it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "vigil/model/initialisation_audit.h"
#include "vigil/operators/layer_attribution.h"
#include "vigil/operators/operator_observer.h"

namespace vigil {

/// A layer as it ran.
struct ProbedLayer {
  std::string path;
  LayerKind kind = LayerKind::other;
  SignalAudit signal;
  std::vector<at::Tensor> outputs;  ///< of its calls that have a gradient, kept for it
};

class SignalProbe : private OperatorSink {
 public:
  /// `parameters` outlive this. Observes this thread until end().
  /// @throws std::runtime_error when too many observers are attached
  SignalProbe(const std::vector<LayerParameter>& parameters, const TensorPlaces::NamedTensors& buffers);
  ~SignalProbe() override { observer_.detach(); }

  /// The layers in the order in which they ran first. @throws std::runtime_error when an operator could not be looked at
  std::vector<ProbedLayer> end();

 private:
  struct Call : OperatorCall {
    OperatorPlace place;
    std::string operation;
    const void* first_data = nullptr;  // memory of its first input that is no parameter
    int origin = -1;                   // index of the layer that this came from
    double input_std = 0;
    std::uint64_t values = 0, saturated = 0;
    bool is_in_place = false;
  };
  struct Layer : ProbedLayer {
    int after = -1;                // of a normalisation: the layer that it works on
    const void* memory = nullptr;  // of the latest output
    Moments earlier, latest;       // of the calls before, and of the latest one
    bool has_latest = false;
  };

  std::unique_ptr<OperatorCall> on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) override;
  void on_end(OperatorCall& ended, c10::ArrayRef<c10::IValue> outputs) override;
  void take_output(const Call& call, const at::Tensor& output);
  void take_activation(const Call& call, const at::Tensor& output);
  int layer_index(const std::string& path, LayerKind kind);

  const std::vector<LayerParameter>& parameters_;
  TensorPlaces places_;
  LayerAttribution attribution_;
  OperatorObserver observer_;
  std::mutex mutex_;  // scripted modules may run operators on other threads
  std::vector<Layer> layers_;
  std::map<std::string, int> by_path_;
  std::unordered_map<const void*, int> origins_;  // of data, by memory
  std::vector<at::Tensor> kept_;                  // so that no address is used again
};

}  // namespace vigil
