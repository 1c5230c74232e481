#include "vigil/model/activation_calibration.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include "vigil/operators/layer_attribution.h"
#include "vigil/operators/operator_observer.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

TensorPlaces::NamedTensors pairs_of(const torch::OrderedDict<std::string, at::Tensor>& named) {
  TensorPlaces::NamedTensors pairs;
  for (const auto& item : named) pairs.emplace_back(item.key(), item.value());
  return pairs;
}

bool is_activation(const at::Tensor& tensor) { return at::isFloatingType(tensor.scalar_type()) && tensor.layout() == at::kStrided; }

// Shows a function the tensors that the program's own operators take and make.
class ActivationVisitor : public OperatorSink {
 public:
  using Visit = std::function<void(const std::string& name, bool is_input, const at::Tensor& values)>;

  ActivationVisitor(const torch::nn::Module& module, Visit visit)
      : places_(pairs_of(module.named_parameters()), pairs_of(module.named_buffers())), attribution_(places_), visit_(std::move(visit)) {}

  void run(const std::function<void()>& forward) {
    const at::NoGradGuard no_grad;
    OperatorObserver observer;
    if (!observer.attach(*this)) throw std::runtime_error("too many observers of operators at the same time; end one of them");
    forward();
    const std::uint64_t failures = observer.failures();
    observer.detach();
    if (failures > 0) throw std::runtime_error(std::to_string(failures) + " operators could not be looked at: " + failure_);
  }

  std::unique_ptr<OperatorCall> on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) override {
    auto call = std::make_unique<Call>();
    if (parent != nullptr || in_backward) return call;
    const std::lock_guard lock(mutex_);
    return told([&] {
      call->place = attribution_.place(start.name, start.inputs);
      call->is_counted = call->place.role == OperatorPlace::Role::layer || call->place.role == OperatorPlace::Role::follower;
      call->is_in_place = start.name.back() == '_';
      std::optional<at::Tensor> data;
      for_each_tensor(start.inputs, [&](const at::Tensor& tensor) {
        if (!data && is_activation(tensor) && places_.find(tensor) == TensorPlaces::kNone) data = tensor;
      });
      if (data) call->first_input = memory_of(*data);
      if (data && call->place.role == OperatorPlace::Role::layer) visit_(call->place.layer, true, *data);
      return std::unique_ptr<OperatorCall>(std::move(call));
    });
  }

  void on_end(OperatorCall& ended, c10::ArrayRef<c10::IValue> outputs) override {
    auto& call = static_cast<Call&>(ended);
    if (call.parent != nullptr || call.in_backward) return;
    const std::lock_guard lock(mutex_);
    told([&] {
      attribution_.follow(call.place, outputs);
      if (!call.is_counted) return;
      std::optional<at::Tensor> output;
      for_each_tensor(outputs, [&](const at::Tensor& tensor) {
        if (!output) output = tensor;
      });
      if (!output || !is_activation(*output)) return;
      // A view of the model's own tensor, or that itself: the visitor may write, and the model is const.
      if (places_.find(*output) != TensorPlaces::kNone) return;
      const bool is_view = memory_of(*output) == call.first_input && !call.is_in_place;
      if (!is_view) visit_(call.place.layer, false, *output);
    });
  }

 private:
  struct Call : OperatorCall {
    OperatorPlace place;
    const void* first_input = nullptr;
    bool is_counted = false, is_in_place = false;
  };

  // The observer counts what is thrown, and forgets it.
  template <class Use>
  auto told(Use use) -> decltype(use()) {
    try {
      return use();
    } catch (const std::exception& error) {
      if (failure_.empty()) failure_ = error.what();
      throw;
    }
  }

  TensorPlaces places_;
  LayerAttribution attribution_;
  Visit visit_;
  std::mutex mutex_;
  std::string failure_;
};

}  // namespace

Calibration calibrate(const torch::nn::Module& module, const std::function<void()>& forward, const CalibrationOptions& options) {
  if (options.grid.per_channel) throw std::invalid_argument("activations are calibrated per tensor");
  struct Observed {
    std::string name;
    bool is_input;
    std::unique_ptr<RangeObserver> observer;
  };
  std::vector<Observed> observed;
  std::map<std::pair<std::string, bool>, std::size_t> known;
  ActivationVisitor visitor(module, [&](const std::string& name, bool is_input, const at::Tensor& values) {
    const auto [place, is_new] = known.try_emplace({name, is_input}, observed.size());
    if (is_new) observed.push_back({name, is_input, make_observer(options.observer, options.grid)});
    observed[place->second].observer->observe(values);
  });
  visitor.run(forward);
  Calibration calibration;
  for (const Observed& one : observed) {
    const RangeObserver& observer = *one.observer;
    if (observer.observed() == observer.nan() + observer.inf()) continue;
    CalibratedActivation activation;
    activation.name = one.name;
    activation.is_input = one.is_input;
    activation.observed = observer.observed();
    activation.nan = observer.nan();
    activation.inf = observer.inf();
    activation.least = observer.least();
    activation.most = observer.most();
    activation.parameters = observer.parameters();
    calibration.push_back(std::move(activation));
  }
  return calibration;
}

void with_quantised_activations(const torch::nn::Module& module, const std::function<void()>& forward, const Calibration& calibration) {
  std::map<std::string, const QuantisationParameters*> outputs;
  for (const CalibratedActivation& activation : calibration) {
    if (!activation.is_input) outputs[activation.name] = &activation.parameters;
  }
  ActivationVisitor visitor(module, [&](const std::string& name, bool is_input, const at::Tensor& values) {
    if (is_input) return;
    const auto found = outputs.find(name);
    if (found != outputs.end()) at::Tensor(values).copy_(fake_quantise(values, *found->second));
  });
  visitor.run(forward);
}

std::string calibration_table(const Calibration& calibration, const OutputPlace& place) {
  const std::vector<TableColumn> heads{{"activation", false, 0, 12}, {"", false, 0, 0},    {"values", true, 2, 0}, {"NaN, Inf", true, 3, 0},
                                       {"least", true, 0, 0},        {"most", true, 0, 0}, {"scale", true, 0, 0},  {"zero", true, 0, 0}};
  std::vector<TableRow> rows;
  for (const CalibratedActivation& activation : calibration) {
    TableRow row;
    row.cells = {printable(activation.name),
                 activation.is_input ? "in" : "out",
                 grouped(activation.observed),
                 grouped(activation.nan + activation.inf),
                 short_number(static_cast<double>(activation.least)),
                 short_number(static_cast<double>(activation.most)),
                 short_number(activation.parameters.scale.item<double>()),
                 std::to_string(activation.parameters.zero_point.item<std::int64_t>())};
    rows.push_back(std::move(row));
  }
  return table_text(heads, rows, place);
}

}  // namespace vigil
