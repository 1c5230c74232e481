// What is compared with what, and the goals of docs/performance.md.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "bench/machine.h"
#include "bench/registration.h"
#include "bench/statistics_under_test.h"
#include "bench/table.h"

namespace vigil::bench {
namespace {

constexpr Goal at_least(double value) { return {Goal::at_least, value}; }
constexpr Goal at_most(double value) { return {Goal::at_most, value}; }

bool in_build(std::string_view kernel) {
  const bool found = force_kernel(kernel);
  use_automatic_kernel();
  return found;
}

// Empty when the rows of a kernel can be measured.
std::string why_not(std::string_view kernel) {
  if (!cpu_has(kernel)) return "CPU lacks it";
  return in_build(kernel) ? "" : "not in this build";
}

std::string why_not(int threads) { return threads <= core_count() ? "" : "one core only"; }

// The kernel that has to reach the goals of this CPU, whether this build has it or not.
std::string_view best_kernel(bool bfloat16) {
  if (bfloat16 && cpu_has("avx512_bf16")) return "avx512_bf16";
  if (cpu_has("avx512")) return "avx512";
  if (cpu_has("avx2")) return "avx2";
  return cpu_has("vector128") ? "vector128" : "portable";
}

// Kernels with vectors of 256 bits or more.
bool is_wide(std::string_view kernel) { return kernel != "portable" && kernel != "vector128"; }

// Goals for the fraction of a read's speed. Without a wide kernel there is none.
Goal statistics_goal(std::string_view type, std::string_view kernel, bool in_cache) {
  if (!is_wide(kernel)) return {};
  const bool is_best = kernel == best_kernel(type == "bfloat16");
  if (in_cache) return is_best ? at_least(0.50) : Goal{};
  if (type == "float32") return kernel == "avx2" ? at_least(0.80) : at_least(0.93);
  if (type == "float64") return is_best ? at_least(0.93) : Goal{};
  if (type == "float16") return is_best ? at_least(0.52) : Goal{};
  if (kernel == "avx512_bf16") return at_least(0.85);
  return is_best || kernel == "avx512" ? at_least(0.50) : Goal{};
}

Comparison against_read(const std::string& type, const std::string& place, const std::string& title, std::vector<int> thread_counts) {
  Comparison comparison;
  comparison.title = title;
  const std::string group = type + "/" + place;
  const bool in_cache = place == "cache";
  for (const int threads : thread_counts) {
    if (type == "float32" && !in_cache) {
      Row row;
      row.what = "the same read in four streams";
      row.threads = threads;
      row.benchmark = benchmark_name(group, threads, "read_in_streams");
      row.relative_to = benchmark_name(group, threads, "read");
      row.not_applicable = why_not(threads);
      comparison.rows.push_back(row);
    }
    const auto add = [&](const std::string& what, std::string_view kernel, const std::string& suffix, Goal goal) {
      Row row;
      row.what = what;
      row.threads = threads;
      row.benchmark = benchmark_name(group, threads, std::string(kernel) + suffix);
      row.relative_to = benchmark_name(group, threads, "read");
      row.goal = goal;
      if (kernel == "portable") comparison.slow.insert(row.benchmark);
      row.not_applicable = why_not(kernel);
      if (row.not_applicable.empty()) row.not_applicable = why_not(threads);
      comparison.rows.push_back(row);
    };
    // The fastest first: next to the read, since the portable one takes seconds.
    for (auto k = kKernels.rbegin(); k != kKernels.rend(); ++k) {
      const std::string_view kernel = *k;
      if (kernel == "avx512_bf16" && type != "bfloat16") continue;
      const std::string name(kernel);
      add("statistics, " + name, kernel, "", statistics_goal(type, kernel, in_cache));
      if (type != "float32") continue;
      if (kernel == "portable" && in_cache) continue;
      const bool is_best = kernel == best_kernel(false);
      add("statistics and histogram, " + name, kernel, "_histogram",
          in_cache || !is_wide(kernel) ? Goal{} : at_least(kernel == "avx2" ? 0.35 : 0.70));
      add("guard (finite, norm), " + name, kernel, "_guard", is_best && is_wide(kernel) && !in_cache ? at_least(0.93) : Goal{});
    }
  }
  return comparison;
}

// What a run that has gone wrong costs: no goal, but it must not stop the training for the sake of counting.
Comparison with_nan() {
  Comparison comparison;
  comparison.title = "float32 with 1 % NaN (64 MiB): fraction of the speed of a pure read";
  const auto add = [&](const std::string& what, std::string_view kernel, const std::string& suffix) {
    Row row;
    row.what = what + ", " + std::string(kernel);
    row.benchmark = benchmark_name("float32/nan", 1, std::string(kernel) + suffix);
    row.relative_to = benchmark_name("float32/nan", 1, "read");
    row.not_applicable = why_not(kernel);
    comparison.rows.push_back(row);
  };
  for (const char* kernel : {"avx512", "avx2"}) {
    add("statistics", kernel, "");
    add("statistics and histogram", kernel, "_histogram");
    add("guard, which stops at the first NaN", kernel, "_guard");
  }
  return comparison;
}

// How many times faster than what others do.
Comparison against_peers(const std::string& set, const std::string& title) {
  Comparison comparison;
  comparison.title = title;
  comparison.slow_rounds = 5;
  for (const int threads : {1, 2}) {
    const auto add = [&](const std::string& what, const std::string& peer, Goal goal, bool slow, const std::string& subject = "vigil") {
      Row row;
      row.what = what;
      row.threads = threads;
      row.benchmark = benchmark_name(set, threads, subject);
      row.relative_to = benchmark_name(set, threads, peer);
      row.goal = goal;
      row.not_applicable = why_not(threads);
      if (slow) comparison.slow.insert(row.relative_to);
      comparison.rows.push_back(row);
    };
    add("of the speed of a pure read", "read", {}, false);
    add("faster than `_foreach_norm` (one number)", "foreach_norm", at_least(1), false);
    add("faster than `clip_grad_norm_` (one number)", "clip_grad_norm", at_least(2), false);
    add("faster than what a user writes", "by_hand", at_least(threads == 1 ? 60 : 40), true);
    add("… with a histogram of vigil's, too", "by_hand", {}, true, "vigil_histogram");
    add("… without a histogram on either side", "by_hand_without_histc", {}, true);
    // The figure of the goal is one of one thread: ATen's histc takes the second, a read from DRAM hardly does.
    add("faster than wandb.watch's algorithm", "wandb_watch", threads == 1 ? at_least(60) : Goal{}, true);
    add("… with a histogram of vigil's, too", "wandb_watch", {}, true, "vigil_histogram");
  }
  return comparison;
}

Comparison small_tensors() {
  Comparison comparison;
  comparison.title = "100 tensors of 256 float32, in cache: time for each";
  Row row;
  row.what = "statistics by the pass of the hooks";
  row.benchmark = benchmark_name("100_small_warm", 1, "vigil");
  row.goal = at_most(100);
  row.unit = "ns";
  row.unit_seconds = 100 * 1e-9;
  comparison.rows.push_back(row);
  return comparison;
}

Comparison whole_step(const std::string& model, const std::string& title, int rounds, Goal every_step, Goal every_10th,
                      bool observed = true) {
  Comparison comparison;
  comparison.title = title;
  comparison.rounds = rounds;
  for (const int threads : {1, 2}) {
    const auto add = [&](const std::string& what, const std::string& variant, Goal goal) {
      Row row;
      row.what = what;
      row.threads = threads;
      row.benchmark = benchmark_name("whole_step/" + model, threads, variant);
      row.relative_to = benchmark_name("whole_step/" + model, threads, "off");
      row.as_speed = false;
      row.goal = goal;
      row.not_applicable = why_not(threads);
      comparison.rows.push_back(row);
    };
    add("guard and statistics every step", "every_step", every_step);
    add("guard every step, statistics every 10th", "every_10th", every_10th);
    if (observed) add("… and activations every 100th, as by default", "activations_every_100th", at_most(1.02));
    add("without vigil again: the noise", "off_again", {});
  }
  return comparison;
}

Comparison exposition() {
  Comparison comparison;
  comparison.title = "Exposition of 100,000 series";
  comparison.rounds = 5;
  const auto add = [&comparison](const std::string& what, const std::string& benchmark, Goal goal) -> Row& {
    Row row;
    row.what = what;
    row.benchmark = benchmark;
    row.goal = goal;
    comparison.rows.push_back(row);
    return comparison.rows.back();
  };
  add("text", "exposition/vigil", at_most(10));
  add("text, gzip", "exposition/vigil_gzip", at_most(60));
  add("faster than prometheus-cpp's registry", "exposition/vigil", at_least(15)).relative_to = "exposition/prometheus_cpp_registry";
  add("faster than a prometheus-cpp collectable", "exposition/vigil", {}).relative_to = "exposition/prometheus_cpp_collectable";
  add("memory over the body, in bodies", "exposition/vigil", at_most(2)).counter = "extra_memory_per_body";
  add("… gzip, in gzip'd bodies", "exposition/vigil_gzip", at_most(2)).counter = "extra_memory_per_body";
  return comparison;
}

}  // namespace

std::vector<Comparison> make_comparisons(bool quick) {
  std::vector<Comparison> all;
  for (const char* type : {"float32", "float64", "bfloat16", "float16"}) {
    all.push_back(against_read(type, "dram", std::string(type) + " in DRAM: fraction of the speed of a pure read", {1, 2}));
  }
  all.push_back(against_read("float32", "cache", "float32 in cache (4 MiB): fraction of the speed of a pure read", {1}));
  all.push_back(with_nan());
  all.push_back(against_peers("resnet50", "ResNet-50, 161 tensors, 102 MB"));
  all.push_back(against_peers("gpt2_small", "GPT-2 small, 148 tensors, 498 MB"));
  all.push_back(against_peers("10000_small", "10,000 tensors of 256"));
  all.push_back(small_tensors());
  all.push_back(whole_step("mlp", "Whole step of an MLP in L3: multiple of a step without vigil", 51, {}, at_most(1.03), false));
  all.push_back(whole_step("cnn", "Whole step of a CNN: multiple of a step without vigil", 11, {}, {}));
  all.push_back(
      whole_step("transformer", "Whole step of a 10 M transformer, 512 tokens: multiple of a step without vigil", 5, at_most(1.02), {}));
  // The hardest case: two reads of 43 MB are 2 % of a step over 128 tokens.
  all.push_back(
      whole_step("transformer_of_one_text", "Whole step of the same, 128 tokens: multiple of a step without vigil", 7, at_most(1.02), {}));
  all.push_back(exposition());
  if (quick) {
    for (Comparison& comparison : all) {
      comparison.rounds = (comparison.rounds + 2) / 3;
      comparison.slow_rounds = std::min(comparison.slow_rounds, 2);
    }
  }
  return all;
}

}  // namespace vigil::bench
