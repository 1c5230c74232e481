// What the figures were measured on, and what of it makes them worthless.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vigil::bench {

/// Whether the CPU has the instructions of the kernel of that name ("portable", "vector128", "avx2", "avx512", "avx512_bf16").
bool cpu_has(std::string_view kernel);

int core_count();

/// CPU, cores, caches, compiler, kernel in use, libtorch, BLAS, `commit` and date; a line each.
std::vector<std::string> describe_machine(const std::string& commit);

/// What should be otherwise for the figures to mean what they say; a line each.
std::vector<std::string> warnings();

}  // namespace vigil::bench
