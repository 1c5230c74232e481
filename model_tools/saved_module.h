// A saved model as libtorch loads it, and what it gives when it runs.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/api/module.h>

namespace vigil::model_tools {

/// Loads a TorchScript file, or a module that torch::save has written, onto the CPU. The file is checked first, as libtorch trusts what it
/// reads. @throws std::runtime_error that names the file and the reason
torch::jit::Module load_saved_module(const std::string& file);

/// The same, with all files that the archive holds beside the module, for write_saved_module().
torch::jit::Module load_saved_module(const std::string& file, torch::jit::ExtraFilesMap& extra);

/// @throws std::invalid_argument when `out` is `file`, by whatever path
void require_other_file(const std::string& file, const std::string& out);

/// Writes the module in its format, with those files; as a whole or not at all. @throws std::runtime_error that names the file
void write_saved_module(const torch::jit::Module& module, const torch::jit::ExtraFilesMap& extra, const std::string& path);

/// Whether it has code to run: TorchScript has, what torch::save writes has not.
bool has_forward(const torch::jit::Module& module);

/// Does what runs the code of a file. @throws std::runtime_error with what it throws, in one line and without libtorch's traces
void run_code(const std::function<void()>& run);

/// The first tensor of what forward() gives, in tuples, lists and dictionaries, too. Runs the code of the file, without the optimisations
/// that would hide its operators. @throws std::runtime_error when there is none, and
/// in one line what the code throws
at::Tensor first_output(torch::jit::Module& module, const std::vector<c10::IValue>& inputs);

/// Of what is being handled, an exception: says in a line on stderr what it is, libtorch's behind `of_libtorch`.
void tell_failure(const std::string& of_libtorch = "");

/// Says on stderr that there is no code for inputs to go into; `what` was given: "--input-size was".
void tell_unused_inputs(const std::string& what);

/// Text of libtorch's for one line: its first, without where it was raised.
std::string first_line(const std::string& text);

}  // namespace vigil::model_tools
