// What a file of a saved model holds, read without libtorch: TorchScript modules, what torch::save wrote, what Python's torch.save wrote.
//
// The file may come from anyone. It is read piece by piece into private memory, so that its being changed or cut meanwhile is an error and
// no crash; every number in it is checked before it is used; none of what its pickle asks to be called is called.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/inspection/inspection_error.h"
#include "vigil/inspection/model_tensor.h"

namespace vigil {

struct SavedModule {
  std::string path;  ///< "layer1.0"; any bytes
  /// Its class as the file names it: "torch.nn.modules.conv.Conv2d". Empty where the file does not say, as those of libtorch's torch::save.
  std::string type;
};

/// What a file holds besides its tensors that a reader might have expected among them.
struct PassedOver {
  std::string name;    ///< full path, as a tensor's
  std::string reason;  ///< "its element type is uint16"
};

/// How the values of a quantised tensor are meant: value = scale · (element - zero_point).
struct Quantisation {
  std::string name;             ///< of a tensor of type quint8, qint8 or qint32, whose elements are the integers
  bool per_channel = false;     ///< then the next two are tensors of the model: name + ".scales" and ".zero_points", along `axis`
  double scale = 1;             ///< of a per-tensor one
  std::int64_t zero_point = 0;  ///< likewise
  std::int64_t axis = 0;        ///< of a per-channel one
};

struct SavedModel {
  enum class Format : std::uint8_t {
    torchscript,  ///< a module with its code, of torch::jit::Module::save, torch.jit.save or the like
    archive,      ///< of libtorch's torch::save: a module, an optimizer, a tensor, a list of tensors
    python,       ///< of Python's torch.save or libtorch's pickle_save: a state dict, a checkpoint, a module, any value
  };

  Format format = Format::archive;
  std::string root_type;         ///< class of the outermost module, as SavedModule::type; "" where the file holds no module or says none
  std::uint64_t file_bytes = 0;  ///< of the whole file
  std::int64_t archive_version = 0;  ///< the number in its record `version`; 0: it has none
  /// In the order of the file; those of a module are named as in its state dict ("layer1.0.weight"), one that Python saved alone is "". A
  /// sparse tensor is given as its indices and values (name + ".indices", ".values", …).
  std::vector<ModelTensor> tensors;
  std::vector<SavedModule> modules;  ///< depth first, without the outermost; empty where the file does not say
  std::vector<Quantisation> quantised;
  std::vector<PassedOver> passed_over;
};

inline constexpr std::string_view name_of(SavedModel::Format format) noexcept {
  switch (format) {
    case SavedModel::Format::torchscript: return "TorchScript";
    case SavedModel::Format::archive: return "torch::save";
    case SavedModel::Format::python: return "Python torch.save";
  }
  return "";
}

/// Reads what the tensors of a file are, and none of their elements. These are read by `ModelTensor::elements`, which keeps the file open;
/// it verifies the checksum of every storage that it reads, at the end of it or, for a tensor that is a part of one, before. Several
/// tensors have the same `ModelTensor::memory` where the ranges of one storage that they lie in overlap.
/// Takes at most 64 MiB for the pickle of a file and a few hundred MiB for what it says.
/// @throws InspectionError also where a tensor says that it is larger than its storage
SavedModel open_saved_model(const std::filesystem::path& path);

/// A part of a file that is not what was written.
struct DamagedEntry {
  std::string entry;   ///< name in the archive: "model/data/7"; "" for what belongs to none
  std::string tensor;  ///< name of a tensor that has its elements there; "" for none, or where the file cannot be opened as a model
  std::string what;    ///< "its checksum does not match"
};

/// Reads all of the file and compares every checksum in it, and what it says twice.
/// @throws InspectionError where it has no readable directory of entries
std::vector<DamagedEntry> check_integrity(const std::filesystem::path& path);

}  // namespace vigil
