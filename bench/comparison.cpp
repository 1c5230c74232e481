#include "bench/comparison.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>

#include <benchmark/benchmark.h>

namespace vigil::bench {
namespace {

// A round that is not measured: fresh memory has its page tables filled, results are checked.
constexpr int kWarmUp = -1;

struct Sample {
  double seconds = 0;
  std::map<std::string, double> counters;
};
// By benchmark, by round: slow ones are not in each.
using Samples = std::map<std::string, std::map<int, Sample>>;

// Keeps what would be printed.
class Collector : public benchmark::BenchmarkReporter {
 public:
  Collector() { SetErrorStream(&unread_); }

  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.iterations == 0) continue;  // 0: it gave up with an error
      sample_.seconds = run.real_accumulated_time / static_cast<double>(run.iterations);
      for (const auto& [name, counter] : run.counters) sample_.counters[name] = counter.value;
      ++count_;
    }
  }

  int count() const { return count_; }
  const Sample& sample() const { return sample_; }

 private:
  std::ostringstream unread_;
  Sample sample_;
  int count_ = 0;
};

// The benchmark of this name, which the library lists with its options behind it: "name/min_time:0.060/real_time".
std::string filter_for(const std::string& name) { return "^" + name + "(/(min_time|iterations|repeats):[^/]*|/(real|manual)_time)*$"; }

std::vector<std::string> members_of(const Comparison& comparison, int threads) {
  std::vector<std::string> members;
  const auto add = [&members](const std::string& name) {
    if (!name.empty() && std::find(members.begin(), members.end(), name) == members.end()) members.push_back(name);
  };
  for (const Row& row : comparison.rows) {
    if (!row.not_applicable.empty() || row.threads != threads) continue;
    add(row.relative_to);
    add(row.benchmark);
  }
  return members;
}

void run_round(const Comparison& comparison, std::vector<std::string> members, int round, Samples& samples) {
  if (round % 2 != 0) std::reverse(members.begin(), members.end());
  for (const std::string& name : members) {
    const bool is_slow = comparison.slow.count(name) > 0;
    if (is_slow && (round == kWarmUp || round >= comparison.slow_rounds)) continue;
    Collector collector;
    benchmark::RunSpecifiedBenchmarks(&collector, filter_for(name));
    if (collector.count() == 1) {
      if (round != kWarmUp) samples[name][round] = collector.sample();
    } else {
      std::fprintf(stderr, "\nbench: %d benchmarks ran to an end under the name %s\n", collector.count(), name.c_str());
      std::exit(1);
    }
  }
}

Figure figure_of(Row row, Samples& samples) {
  Figure figure;
  figure.row = std::move(row);
  const Row& r = figure.row;
  if (!r.not_applicable.empty()) return figure;
  std::vector<double> values, seconds, reference_seconds;
  for (const auto& [round, sample] : samples[r.benchmark]) {
    seconds.push_back(sample.seconds);
    if (!r.counter.empty()) {
      const auto counter = sample.counters.find(r.counter);
      if (counter != sample.counters.end()) values.push_back(counter->second);
    } else if (r.relative_to.empty()) {
      values.push_back(sample.seconds / r.unit_seconds);
    } else if (const auto reference = samples[r.relative_to].find(round); reference != samples[r.relative_to].end()) {
      reference_seconds.push_back(reference->second.seconds);
      values.push_back(r.as_speed ? reference->second.seconds / sample.seconds : sample.seconds / reference->second.seconds);
    }
  }
  if (values.empty()) {
    figure.row.not_applicable = "not in this build";
    return figure;
  }
  figure.measured = true;
  figure.value = spread_of(values);
  figure.seconds = spread_of(seconds).median;
  if (!reference_seconds.empty()) figure.reference_seconds = spread_of(reference_seconds).median;
  figure.missed = (r.goal.bound == Goal::at_least && !(figure.value.median >= r.goal.value)) ||
                  (r.goal.bound == Goal::at_most && !(figure.value.median <= r.goal.value));
  return figure;
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto quantile = [&values](double q) {
    const double rank = q * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(rank);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (rank - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {quantile(0.5), quantile(0.25), quantile(0.75)};
}

std::vector<Figure> run(const Comparison& comparison, const std::function<void(int, int)>& progress) {
  std::set<int> thread_counts;
  for (const Row& row : comparison.rows) thread_counts.insert(row.threads);
  Samples samples;
  for (const int threads : thread_counts) {
    const std::vector<std::string> members = members_of(comparison, threads);
    for (int round = kWarmUp; round < comparison.rounds && !members.empty(); ++round) {
      progress(threads, std::max(round, 0));
      run_round(comparison, members, round, samples);
    }
  }
  std::vector<Figure> figures;
  for (const Row& row : comparison.rows) figures.push_back(figure_of(row, samples));
  return figures;
}

}  // namespace vigil::bench
