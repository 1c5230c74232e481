// All gradients of a model at once, as the hooks reduce them, against what others do with the same tensors.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "bench/equal_ranges.h"
#include "bench/fixture.h"
#include "bench/kept_heap.h"
#include "bench/peers.h"
#include "bench/pure_read.h"
#include "bench/random_tensors.h"
#include "bench/reference.h"
#include "bench/registration.h"
#include "bench/statistics_under_test.h"

namespace vigil::bench {
namespace {

constexpr std::int64_t kSmall = 256;

// One set of gradients, and what each side prepares for it before it is measured.
struct Copy {
  explicit Copy(const Shapes& shapes)
      : gradients(random_tensors(shapes)), parameters(parameters_with(gradients)), pass(gradients), pass_with_histograms(gradients, true) {
    for (const at::Tensor& gradient : gradients) spans.push_back({static_cast<const float*>(gradient.data_ptr()), gradient.numel()});
  }

  struct Span {
    const float* data;
    std::int64_t count;
  };
  std::vector<at::Tensor> gradients, parameters;
  HooksPass pass, pass_with_histograms;
  std::vector<Span> spans;
};

// Copies of a set, each with data of its own. A pass takes the next, so that small sets do not stay in cache.
struct ParameterSet {
  ParameterSet(const Shapes& shapes, std::size_t copy_count) {
    copies.reserve(copy_count);
    for (std::size_t i = 0; i < copy_count; ++i) copies.emplace_back(shapes);
    kept_heap.emplace();  // the gradients come from where they do in training
    for (const at::Tensor& tensor : copies[0].gradients) {
      elements += tensor.numel();
      references.push_back(reference_of(tensor));
      squares += references.back().l2 * references.back().l2;
    }
  }

  std::optional<KeptHeap> kept_heap;  // before the copies, so that it ends after them
  std::vector<Copy> copies;
  std::vector<Reference> references;  // of the first copy
  double squares = 0;
  std::int64_t elements = 0;
  std::size_t next = 0;
};

struct Kind {
  std::string name;
  Shapes shapes;
  bool in_cache = false;

  std::int64_t elements() const {
    std::int64_t sum = 0;
    for (const auto& shape : shapes) sum += std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
    return sum;
  }
};

ParameterSet& set_of(const Kind& kind) {
  return FixtureShelf::instance().get<ParameterSet>(kind.name, [&kind] {
    const std::size_t bytes = static_cast<std::size_t>(kind.elements()) * sizeof(float);
    return std::make_shared<ParameterSet>(kind.shapes, kind.in_cache ? 1 : std::max<std::size_t>(1, dram_bytes() / bytes));
  });
}

struct Subject {
  std::string name;
  std::function<void(Copy&)> pass;
  std::function<void(const std::string&, ParameterSet&)> check;  // of the first copy
};

void read_all(const Copy& copy, std::int64_t elements) {
  // Equal shares of the memory, whatever the tensors' borders.
  for_equal_ranges(elements, [&](std::int64_t begin, std::int64_t end, int) {
    std::uint64_t sum = 0;
    std::int64_t first = 0;  // of this span, in elements
    for (const Copy::Span& span : copy.spans) {
      const std::int64_t from = std::max(begin - first, std::int64_t{0}), to = std::min(end - first, span.count);
      if (from < to) sum ^= xor_words(span.data + from, static_cast<std::size_t>(to - from) * sizeof(float));
      first += span.count;
      if (first >= end) break;
    }
    benchmark::DoNotOptimize(sum);
  });
}

void check_vigil(const std::string& name, ParameterSet& set) {
  const std::vector<Moments>& results = set.copies[0].pass.run();
  for (std::size_t i = 0; i < results.size(); ++i) expect_right(name, set.references[i], results[i]);
}

void check_vigil_histogram(const std::string& name, ParameterSet& set) {
  Copy& copy = set.copies[0];
  const std::vector<Moments>& results = copy.pass_with_histograms.run();
  for (std::size_t i = 0; i < results.size(); ++i) {
    expect_right(name, set.references[i], results[i]);
    expect_right(name, reference_histogram_of(copy.gradients[i]), copy.pass_with_histograms.histograms()[i]);
  }
}

void check_by_hand(const std::string& name, const ParameterSet& set, bool with_histogram) {
  for (std::size_t i = 0; i < set.references.size(); ++i) {
    const UserStatistics s = write_by_hand(set.copies[0].gradients[i], with_histogram);
    // libtorch 1.13 adds up in float: off by 2.4e-3 over the 38.6 million elements of GPT-2's embedding.
    expect_near(name, "norm", set.references[i].l2, s.norm, 1e-2);
    expect_near(name, "min", set.references[i].min, s.min, 0);
    expect_near(name, "max", set.references[i].max, s.max, 0);
    if (s.nans + s.infs != 0) fail(name, "finite elements are called non-finite");
    float binned = 0;
    for (const float bin : s.histogram) binned += bin;
    if (with_histogram) expect_near(name, "elements in bins", static_cast<double>(set.references[i].count), binned);
  }
}

void check_logged(const std::string& name, const ParameterSet& set) {
  for (std::size_t i = 0; i < set.references.size(); ++i) {
    const LoggedHistogram logged = log_tensor_stats(set.copies[0].gradients[i]);
    double binned = 0;
    for (const double count : logged.counts) binned += count;
    expect_near(name, "elements in bins", static_cast<double>(set.references[i].count), binned);
    expect_near(name, "lowest bound", set.references[i].min, logged.bounds.front(), 1e-6);
  }
}

void each_by_hand(const Copy& copy, bool with_histogram) {
  for (const at::Tensor& tensor : copy.gradients) benchmark::DoNotOptimize(write_by_hand(tensor, with_histogram));
}

std::vector<Subject> subjects(std::int64_t elements) {
  return {
      // statistics_bench.cpp checks xor_words
      {"read", [elements](Copy& copy) { read_all(copy, elements); }, [](const std::string&, ParameterSet&) {}},
      {"vigil", [](Copy& copy) { benchmark::DoNotOptimize(copy.pass.run().data()); }, check_vigil},
      {"vigil_histogram", [](Copy& copy) { benchmark::DoNotOptimize(copy.pass_with_histograms.run().data()); }, check_vigil_histogram},
      {"foreach_norm", [](Copy& copy) { benchmark::DoNotOptimize(foreach_norm(copy.gradients)); },
       [](const std::string& name, ParameterSet& set) {
         expect_near(name, "norm", std::sqrt(set.squares), foreach_norm(set.copies[0].gradients));
       }},
      {"clip_grad_norm", [](Copy& copy) { benchmark::DoNotOptimize(clip_grad_norm(copy.parameters)); },
       [](const std::string& name, ParameterSet& set) {
         expect_near(name, "norm", std::sqrt(set.squares), clip_grad_norm(set.copies[0].parameters));
       }},
      {"by_hand", [](Copy& copy) { each_by_hand(copy, true); },
       [](const std::string& name, ParameterSet& set) { check_by_hand(name, set, true); }},
      {"by_hand_without_histc", [](Copy& copy) { each_by_hand(copy, false); },
       [](const std::string& name, ParameterSet& set) { check_by_hand(name, set, false); }},
      {"wandb_watch",
       [](Copy& copy) {
         for (const at::Tensor& tensor : copy.gradients) benchmark::DoNotOptimize(log_tensor_stats(tensor));
       },
       check_logged},
  };
}

void add(const Kind& kind, int threads, const Subject& subject, bool quick) {
  const std::string name = benchmark_name(kind.name, threads, subject.name);
  register_benchmark(name, threads, [=](benchmark::State& state) {
    ParameterSet& set = set_of(kind);
    use_automatic_kernel();
    if (FixtureShelf::instance().is_unchecked(name)) subject.check(name, set);
    for (auto _ : state) {
      subject.pass(set.copies[set.next]);
      set.next = (set.next + 1) % set.copies.size();
    }
    const auto passes = static_cast<std::int64_t>(state.iterations());
    state.SetBytesProcessed(passes * set.elements * static_cast<std::int64_t>(sizeof(float)));
    state.SetItemsProcessed(passes * static_cast<std::int64_t>(set.references.size()));
  })->MinTime(min_seconds(quick));
}

}  // namespace

void register_parameter_sets(bool quick) {
  const Kind kinds[] = {{"resnet50", resnet50_shapes()},
                        {"gpt2_small", gpt2_small_shapes()},
                        {"10000_small", equal_shapes(10'000, kSmall)},
                        {"100_small_warm", equal_shapes(100, kSmall), true}};
  for (const Kind& kind : kinds) {
    for (const int threads : {1, 2}) {
      for (const Subject& subject : subjects(kind.elements())) add(kind, threads, subject, quick);
    }
  }
}

}  // namespace vigil::bench
