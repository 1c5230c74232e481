// What everybody behind a ring file's reader makes of records that hold anything but what training would publish: families, expositions,
// rules, alerts and JSON. No undefined behaviour (preset asan), no text that Prometheus or a JSON parser would refuse.
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "files.h"
#include "monitor/ring_image.h"
#include "vigil/exporters/alert_rules.h"
#include "vigil/exporters/alert_text.h"
#include "vigil/exporters/exposition.h"
#include "vigil/exporters/json_text.h"
#include "vigil/exporters/metric_value.h"

namespace vigil {
namespace {

using namespace test;

class Absurdities {
 public:
  explicit Absurdities(std::uint64_t seed) : random_(seed) {}

  std::uint64_t word() {
    constexpr auto kSmallest = std::numeric_limits<std::int64_t>::min();
    switch (random_() % 12) {
      case 0: return 0;
      case 1: return ~std::uint64_t{0};
      case 2: return static_cast<std::uint64_t>(kSmallest);
      case 3: return static_cast<std::uint64_t>(kSmallest) - 1 - random_() % 4;
      case 4: return bits(std::numeric_limits<double>::infinity());
      case 5: return bits(-std::numeric_limits<double>::max());
      case 6: return bits(std::numeric_limits<double>::denorm_min());
      case 7: return bits(1e19 * static_cast<double>(random_() % 1000));
      case 8: return random_() % 8;
      case 9: return 0x4141414141414141;  // text that does not end
      case 10: return bits(static_cast<double>(random_() % 1000) / 8);
      default: return random_();
    }
  }
  std::uint64_t number_below(std::uint64_t count) { return random_() % count; }

 private:
  static std::uint64_t bits(double value) {
    std::uint64_t word;
    std::memcpy(&word, &value, sizeof word);
    return word;
  }
  std::mt19937_64 random_;
};

// Fills all slots of a ring, names and live words; of a record now and then only a few words, so that not all of them are absurd at once.
void spoil(Bytes& image, const RingLayout& layout, Absurdities& absurd) {
  for (const RingKind ring : {RingKind::steps, RingKind::frames, RingKind::events}) {
    const std::uint64_t begin =
        layout.section(static_cast<SectionKind>(static_cast<std::size_t>(SectionKind::steps) + static_cast<std::size_t>(ring))).offset;
    const RingGeometry geometry = layout.geometry(ring);
    for (std::size_t slot = 0; slot < geometry.slot_count; ++slot) {
      const std::size_t record = begin + 8 * (RingGeometry::kLineWords + slot * geometry.slot_words());
      if (read_at<std::uint64_t>(image, record) == 0) continue;  // nothing was written there
      const std::uint64_t one_of = absurd.number_below(2) == 0 ? 1 : 16;
      for (std::size_t word = 1; word <= geometry.payload_words; ++word) {
        if (absurd.number_below(one_of) == 0) write_at(image, record + 8 * word, absurd.word());
      }
    }
  }
  for (const SectionKind names : {SectionKind::scalar_names, SectionKind::phase_names, SectionKind::layer_names}) {
    const Section& section = layout.section(names);
    const auto count = read_at<std::uint64_t>(image, section.offset);
    for (std::uint64_t word = 0; word < count * section.record_size / 8; ++word) {
      if (absurd.number_below(4) == 0) write_at(image, section.offset + NameTable::kEntriesOffset + 8 * word, absurd.word());
    }
  }
  for (std::size_t word = 0; word < sizeof(LiveWords); word += 8) write_at(image, RingHeader::kBytes + word, absurd.word());
}

Config watchful() {
  Config config;
  config.exporters.prometheus.precision = true;
  config.rules.threshold = {"vigil_loss > 0",
                            "vigil_steps_total != 7 as steps",
                            "vigil_step_duration_seconds{phase=\"total\"} > 1e-3 for 2ms as slow",
                            "vigil_learning_rate < 1 as rates",
                            "vigil_parameter_update_ratio >= 0 as updates",
                            "vigil_gradient_l2_norm > 0 as gradients",
                            "vigil_parameter_std < 1e300 as deviations",
                            "vigil_activation_max > 0 as activations",
                            "vigil_optimizer_moment_norm >= 0 as moments"};
  return config;
}

class Consumer {
 public:
  explicit Consumer(const std::string& path)
      : file_(std::make_shared<const RingFile>(path)),
        rules_(alert_rules(config_)),
        engine_(make_alert_engine(file_->schema(), config_.rules)),
        plan_(file_->schema(), config_.exporters.prometheus) {
    auto reader = std::make_unique<RingFileReader>(file_);
    reader_ = reader.get();
    follower_ = std::make_unique<RunFollower>(std::move(reader));
    engine_->set_on_alert([this](const Alert& alert) { tell(alert); });
  }

  std::size_t records() const { return records_; }
  std::size_t alerts() const { return alerts_; }

  void poll() {
    follower_->poll(
        [this](const StepRecord& record, const double* scalars) {
          if (records_++ == 0) engine_->join(record.totals);
          engine_->on_step(record, scalars, reader_->scalar_names());
          std::string out = "{";
          append_step(out, record, scalars, file_->schema().learning_rates);
          check_json(out + "}");
        },
        [this](const Frame& frame) {
          ++records_;
          engine_->on_frame(frame);
          for (std::size_t i = 0; i < frame.activations.size(); ++i) {
            std::string out = "{";
            append_activation(out, frame.activations[i], frame.layers.at(i));
            check_json(out + "}");
          }
        },
        [this](const NonfiniteEvent& event) {
          ++records_;
          engine_->on_event(event);
          std::string out = "{";
          append_event(out, event);
          check_json(out + "}");
        });
    engine_->on_host({});
    static_cast<void>(engine_->take_unmatched_thresholds());
    const std::shared_ptr<Snapshot> snapshot = follower_->snapshot();
    for (const Alert& alert : engine_->book().firing()) snapshot->active_alerts.push_back(notice_of(message_of(alert, rules_[alert.rule])));
    for (std::size_t i = 0; i < rules_.size(); ++i)
      snapshot->alert_counts.push_back({rules_[i].name, "warning", engine_->book().fired()[i]});
    check_expositions(*snapshot);
  }

 private:
  static void check_json(const std::string& text) { EXPECT_TRUE(nlohmann::json::accept(text)) << text; }

  void tell(const Alert& alert) {
    ++alerts_;
    const AlertMessage message = message_of(alert, rules_[alert.rule]);
    EXPECT_FALSE(log_line(message).empty());
    check_json(webhook_body(file_->schema().identity, message));
    check_json(alertmanager_body(file_->schema().identity, {message}, alert.time_ns + 1));
  }

  void check_expositions(const Snapshot& snapshot) const {
    const std::string prometheus = render_exposition(snapshot, plan_, TextFormat::prometheus),
                      openmetrics = render_exposition(snapshot, plan_, TextFormat::openmetrics);
    EXPECT_NO_THROW(parse_prometheus_text(prometheus)) << prometheus;
    EXPECT_NO_THROW(parse_openmetrics_text(openmetrics)) << openmetrics;
    EXPECT_FALSE(render_gzip_exposition(snapshot, plan_, TextFormat::prometheus).empty());
    EXPECT_FALSE(make_families(snapshot, plan_).empty());
    static_cast<void>(find_value(snapshot, config_.exporters.prometheus, "vigil_gradient_l2_norm", "conv.weight"));
    PrometheusConfig folding = config_.exporters.prometheus;
    folding.max_series = 40;  // tensors of a layer are merged
    EXPECT_NO_THROW(parse_prometheus_text(render_exposition(snapshot, SeriesPlan(file_->schema(), folding), TextFormat::prometheus)));
  }

  const Config config_ = watchful();
  const std::shared_ptr<const RingFile> file_;
  const std::vector<AlertRule> rules_;
  const std::unique_ptr<AlertEngine> engine_;
  const SeriesPlan plan_;
  RingFileReader* reader_ = nullptr;  // the follower's
  std::unique_ptr<RunFollower> follower_;
  std::size_t records_ = 0, alerts_ = 0;
};

void feed_absurdities(Schema schema, std::uint64_t runs) {
  TemporaryFolder folder;
  const std::string path = folder.file("absurd.ring");
  const ChannelBounds bounds{4, 0};
  const RingLayout layout = layout_of(schema, bounds);
  std::size_t alerts = 0;
  for (std::uint64_t run = 0; run < runs; ++run) {
    schema.is_continued = run % 2 == 1;
    Bytes image = make_image(schema, bounds, fixed_origin(), [](RunChannel& channel) {
      channel.scalar_names().find_or_append("validation/loss");
      channel.scalar_names().find_or_append("another");
      channel.phase_names().find_or_append("validation");
      channel.layer_names().find_or_append("conv", 0);
      channel.layer_names().find_or_append("conv/relu", 1);
      for (std::uint64_t step = 1; step <= 3; ++step) {
        publish_frame(channel, step);
        publish_event(channel, step);
        publish_step(channel, step);
      }
    });
    const Bytes sane = image;
    Absurdities absurd(run);
    spoil(image, layout, absurd);
    write_image(path, sane);
    Consumer consumer(path);
    if (run % 3 == 0) consumer.poll();  // what follows is compared with something
    write_image(path, image);
    if (run % 3 == 0) {
      // The same records again, under the numbers of the next ones.
      for (const RingKind ring : {RingKind::steps, RingKind::frames, RingKind::events}) {
        const RingGeometry geometry = layout.geometry(ring);
        const std::uint64_t begin =
            layout.sections[static_cast<std::size_t>(SectionKind::steps) - 1 + static_cast<std::size_t>(ring)].offset;
        for (std::uint64_t record = 3; record < 3 + geometry.slot_count; ++record)
          write_at(image, begin + 8 * (RingGeometry::kLineWords + record % geometry.slot_count * geometry.slot_words()), 2 * record + 2);
        write_at(image, begin, 3 + geometry.slot_count);
      }
      write_image(path, image);
    }
    consumer.poll();
    consumer.poll();
    EXPECT_GE(consumer.records(), 3u + 2 + 3);
    alerts += consumer.alerts();
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << "run " << run;
      return;
    }
  }
  EXPECT_GT(alerts, runs);
}

TEST(HostileRecords, OfASmallRunBecomeTextAndAlertsAllTheSame) { feed_absurdities(make_schema(), 120); }

TEST(HostileRecords, OfARunOfSeveralModelsBecomeTextAndAlertsAllTheSame) { feed_absurdities(small_schema(), 60); }

}  // namespace
}  // namespace vigil
