// The operators of one forward pass, and the data that goes from one to the other.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "vigil/model/module_tree.h"
#include "vigil/operators/layer_attribution.h"
#include "vigil/operators/operation_cost.h"
#include "vigil/operators/operator_observer.h"

namespace vigil {

using TensorSizes = std::vector<std::int64_t>;

struct DataTensor {
  static constexpr int kWeights = -2;

  TensorSizes sizes;
  std::uint64_t bytes = 0;
  int producer = -1;  ///< operation that made it; -1: none of the pass; kWeights: made of parameters alone
};

/// An operator that the program called, with those that it is made of.
struct PassOperation {
  std::string name;  ///< short_operation()
  OperatorPlace::Role role = OperatorPlace::Role::outside;
  int module = -1;                          ///< of a layer whose weights they are; of a TorchScript module that which called it
  bool is_told = false;                     ///< libtorch itself told the module
  int call = -1;                            ///< index into calls, where it is told
  int parameter = -1;                       ///< the first of its parameters
  int buffer_module = -1;                   ///< whose buffer it uses
  std::vector<DataTensor> inputs, outputs;  ///< without parameters, weights and buffers
  TensorSizes kernel;                       ///< of a pooling
  std::uint64_t macs = 0;
};

/// A call of a TorchScript module.
struct ScriptCall {
  int module = 0;
  int parent = -1;
  std::vector<TensorSizes> inputs;
  int first_operation = 0, end_operation = -1;  ///< [first, end)
};

/// Which of the names of a parameter an operator uses it by.
struct UseOfShared {
  int parameter = -1;  ///< of the module that it is taken to be of
  int first = -1;      ///< of those that share its memory
  bool is_lookup = false;
};

class ForwardRecord : public OperatorSink {
 public:
  /// `tree` outlives this.
  explicit ForwardRecord(const std::vector<ModuleNode>& tree);
  ~ForwardRecord() override;

  /// Between them the pass runs, on this thread. @throws std::runtime_error when too many observers are attached
  void begin(bool is_script);
  void end() noexcept;

  /// What the pass gave, so that its last module's result is told from what it has besides.
  void take_result(const c10::IValue& result);

  const std::vector<PassOperation>& operations() const { return operations_; }
  const std::vector<DataTensor>& results() const { return results_; }
  const std::vector<ScriptCall>& calls() const { return calls_; }
  bool is_told() const { return is_script_; }
  std::uint64_t failures() const { return failures_; }

  std::unique_ptr<OperatorCall> on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) override;
  void on_end(OperatorCall& call, c10::ArrayRef<c10::IValue> outputs) override;

  /// A TorchScript function starts or ends on this thread; `object`: its module, null for another function.
  void start_script(const void* object, c10::ArrayRef<const c10::IValue> arguments);
  void end_script();

 private:
  struct Call : OperatorCall {
    int operation = -1;
    OperatorPlace place;
    UseOfShared use;
  };
  UseOfShared shared_use(int parameter, const std::string& operation, c10::ArrayRef<const c10::IValue> inputs) const;
  DataTensor described_data(const at::Tensor& tensor) const;

  const std::vector<ModuleNode>& tree_;
  bool is_script_ = false;
  std::vector<int> owners_;  // by index of TensorPlaces: the module
  std::unique_ptr<TensorPlaces> places_;
  std::unique_ptr<LayerAttribution> attribution_;
  std::vector<std::vector<int>> sharing_;  // by index: those that share its memory, itself too
  std::unordered_map<std::string, int> by_path_;
  std::unordered_map<const void*, int> by_object_;
  std::unordered_map<const void*, int> makers_;       // by memory: operation
  std::map<std::pair<int, bool>, std::size_t> uses_;  // so far, by UseOfShared::first and is_lookup
  std::vector<PassOperation> operations_;
  std::vector<DataTensor> results_;
  std::vector<ScriptCall> calls_;
  std::vector<int> script_stack_;                                  // indices into calls_, -1 for what is no module
  std::unordered_map<std::uint64_t, OutermostProducts> products_;  // by thread
  OperatorObserver observer_;
  std::uint64_t script_handle_ = 0;
  std::uint64_t failures_ = 0;
  std::mutex mutex_;
};

}  // namespace vigil
