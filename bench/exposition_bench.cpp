// A scrape of 100,000 series: vigil's own renderings against prometheus-cpp's, in one run on the same values.
#include <benchmark/benchmark.h>
#include <malloc.h>  // malloc_usable_size
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bench/fixture.h"
#include "bench/kept_heap.h"
#include "vigil/exporters/exposition.h"
#include "vigil/exporters/prometheus_collectable.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/monitor/statistics.h"

namespace {

// Live bytes of operator new while they are counted, and the most there were. Off while time is taken: counting is dearer to who
// allocates more. zlib's 200 kB come from malloc and are not in it.
bool is_counting = false;
std::int64_t live_bytes = 0, peak_bytes = 0;  // one thread allocates

void* count_new(std::size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  if (is_counting) {
    live_bytes += static_cast<std::int64_t>(malloc_usable_size(memory));
    peak_bytes = std::max(peak_bytes, live_bytes);
  }
  return memory;
}

void count_delete(void* memory) noexcept {
  if (is_counting && memory != nullptr) live_bytes -= static_cast<std::int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return count_new(size); }
void operator delete(void* memory) noexcept { count_delete(memory); }
void operator delete(void* memory, std::size_t) noexcept { count_delete(memory); }

namespace vigil {
namespace {

constexpr std::size_t kTensors = 5556;  // parameters, and as many gradients, with nine statistics each: 100,008 series

std::string tensor_name(std::size_t i) {
  static const char* const parts[] = {"attn.c_attn.weight", "attn.c_attn.bias", "mlp.c_fc.weight", "mlp.c_fc.bias"};
  return "transformer.h." + std::to_string(i / 4) + "." + parts[i % 4];
}

// What is scraped: a snapshot whose every moment is another random number, and its plan.
struct Run {
  std::shared_ptr<const Snapshot> snapshot;
  std::shared_ptr<const SeriesPlan> plan;
  PrometheusConfig config;
};

const Run& the_run() {
  static const Run run = [] {
    Run made;
    made.config.max_series = 1'000'000;
    Schema schema;
    schema.identity.run = "bench";
    for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient}) {
      for (std::size_t i = 0; i < kTensors; ++i) {
        RowSchema row;
        row.kind = kind;
        row.name = tensor_name(i);
        row.layer = layer_of(row.name);
        row.element_count = 4096;
        schema.rows.push_back(row);
      }
    }
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->has_frame = true;
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal(0, 0.02);
    for (std::size_t i = 0; i < schema.rows.size(); ++i) {
      TensorRow row;
      row.state = TensorRow::present;
      Moments& moments = row.moments;
      moments.count = 4096;
      moments.zero_count = random() % 64;
      moments.mean = normal(random);
      moments.min = moments.mean - 4 * std::fabs(normal(random));
      moments.max = moments.mean + 4 * std::fabs(normal(random));
      moments.l1 = 4096 * std::fabs(normal(random));
      moments.m2 = 4096 * normal(random) * normal(random);
      moments.m2 = std::fabs(moments.m2);
      moments.sum_squares = moments.m2 + 4096 * moments.mean * moments.mean;
      snapshot->rows.push_back(row);
    }
    snapshot->schema = std::make_shared<const Schema>(std::move(schema));
    made.plan = std::make_shared<const SeriesPlan>(*snapshot->schema, made.config);
    made.snapshot = std::move(snapshot);
    return made;
  }();
  return run;
}

// The same gauges in prometheus-cpp's own registry, set once: a scrape only collects and writes them.
prometheus::Registry& the_registry() {
  static prometheus::Registry& registry = *[] {
    auto* made = new prometheus::Registry;
    const Run& run = the_run();
    const Schema& schema = *run.snapshot->schema;
    for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient}) {
      for (const Statistic& statistic : kStatistics) {
        auto& family =
            prometheus::BuildGauge()
                .Name("vigil_" + std::string(kTensorKindNames[static_cast<std::size_t>(kind)]) + "_" + std::string(statistic.name))
                .Help(std::string(statistic.help))
                .Register(*made);
        for (std::size_t i = 0; i < schema.rows.size(); ++i) {
          const RowSchema& row = schema.rows[i];
          if (row.kind != kind) continue;
          family.Add({{"run", schema.identity.run}, {"rank", "0"}, {"parameter", row.name}, {"layer", row.layer}})
              .Set(statistic.value(run.snapshot->rows[i].moments));
        }
      }
    }
    return made;
  }();
  return registry;
}

std::string serialize(const std::vector<prometheus::MetricFamily>& families) {
  return prometheus::TextSerializer().prometheus::Serializer::Serialize(families);
}

std::string gunzip(const std::string& compressed) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) throw std::bad_alloc();
  std::string text(std::size_t{64} << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  stream.next_out = reinterpret_cast<Bytef*>(&text[0]);
  stream.avail_out = static_cast<uInt>(text.size());
  const int result = inflate(&stream, Z_FINISH);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("what was compressed is no gzip");
  return text;
}

// Values of per-tensor series by `name parameter`; labels may come in any order.
std::unordered_map<std::string, double> values_of(const std::string& text) {
  std::unordered_map<std::string, double> values;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    const auto parameter = line.find("parameter=\"");
    if (line[0] == '#' || parameter == std::string_view::npos) continue;
    const auto value_of = line.substr(parameter + 11);
    std::string key(line.substr(0, line.find('{')));
    key += ' ';
    key += value_of.substr(0, value_of.find('"'));
    values[key] = std::strtod(std::string(line.substr(line.rfind(' ') + 1)).c_str(), nullptr);
  }
  return values;
}

// Whether `text` has the values of a sample of tensors; prometheus-cpp prints 16 digits, which is 1e-15 of a value.
bool says_the_same(const std::string& text) {
  const Run& run = the_run();
  const auto values = values_of(text);
  for (std::size_t i = 0; i < run.snapshot->rows.size(); i += 97) {
    const RowSchema& row = run.snapshot->schema->rows[i];
    for (const Statistic& statistic : kStatistics) {
      const std::string name =
          "vigil_" + std::string(kTensorKindNames[static_cast<std::size_t>(row.kind)]) + "_" + std::string(statistic.name);
      const auto found = values.find(name + " " + row.name);
      const double expected = statistic.value(run.snapshot->rows[i].moments);
      if (found == values.end() || std::fabs(found->second - expected) > 1e-15 * std::fabs(expected)) return false;
    }
  }
  return true;
}

// Lines that are not comments.
std::size_t series_in(std::string_view text) {
  std::size_t series = 0;
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) series += text[begin] == '#' ? 0 : 1;
  return series;
}

// Times `render`, a scrape's body; checks it, and counts its memory, once. `text_of` is its text.
template <class Render, class TextOf>
void scrape(benchmark::State& state, Render render, TextOf text_of) {
  bench::FixtureShelf::instance().clear();  // with its monitors' threads
  const bench::KeptHeap kept_heap;
  render();  // what is made once is made
  live_bytes = peak_bytes = 0;
  is_counting = true;
  const std::string body = render();
  is_counting = false;
  const auto peak = static_cast<double>(peak_bytes);
  const std::string text = text_of(body);
  if (!says_the_same(text)) {
    state.SkipWithError("the text does not say what the snapshot holds");
    return;
  }
  for (auto _ : state) benchmark::DoNotOptimize(render());
  state.counters["series"] = static_cast<double>(series_in(text));
  state.counters["body_bytes"] = static_cast<double>(body.size());
  state.counters["text_per_body"] = static_cast<double>(text.size()) / static_cast<double>(body.size());
  // What is allocated for a scrape beside the body that it returns, in bodies: of gzip'd text, in gzip'd ones.
  const auto body_bytes = static_cast<double>(body.size());
  state.counters["extra_memory_per_body"] = (peak - body_bytes) / body_bytes;
}

void vigil_text(benchmark::State& state) {
  const Run& run = the_run();
  scrape(
      state, [&] { return render_exposition(*run.snapshot, *run.plan, TextFormat::prometheus); },
      [](const std::string& body) { return body; });
}

void vigil_gzip(benchmark::State& state) {
  const Run& run = the_run();
  scrape(
      state, [&] { return render_gzip_exposition(*run.snapshot, *run.plan, TextFormat::prometheus); }, gunzip);
}

void prometheus_cpp_registry(benchmark::State& state) {
  prometheus::Registry& registry = the_registry();
  scrape(
      state, [&] { return serialize(registry.Collect()); }, [](const std::string& body) { return body; });
}

void prometheus_cpp_collectable(benchmark::State& state) {
  const Run& run = the_run();
  const PrometheusCollectable collectable([&run] { return run.snapshot; }, run.config);
  scrape(
      state, [&] { return serialize(collectable.Collect()); }, [](const std::string& body) { return body; });
}

BENCHMARK(vigil_text)->Name("exposition/vigil")->Unit(benchmark::kMillisecond);
BENCHMARK(vigil_gzip)->Name("exposition/vigil_gzip")->Unit(benchmark::kMillisecond);
BENCHMARK(prometheus_cpp_registry)->Name("exposition/prometheus_cpp_registry")->Unit(benchmark::kMillisecond);
BENCHMARK(prometheus_cpp_collectable)->Name("exposition/prometheus_cpp_collectable")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vigil
