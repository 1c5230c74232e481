// Every setting of vigil, with its default, its range and the reason for both. The YAML reader (config_reader.h) knows
// no other; config/default.yml is proven equal to `Config{}` by a test.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/config/rule_table.h"

namespace vigil {

/// What the guard does with a step whose loss or gradients are not finite.
enum class OnNonfinite : std::uint8_t {
  warn,       ///< count, name and go on: the optimizer steps, so NaN reaches the weights
  skip_step,  ///< `after_backward` answers `Verdict::skip`: the optimizer must not step
  stop,       ///< `after_backward` answers `Verdict::stop`: the loop should end
  rollback,   ///< the function given to `TrainingMonitor::set_rollback` restores the last good state, then as skip_step; as stop without it
};

/// Which ranks export one series per parameter. After an all-reduce the tensors of data-parallel ranks are equal, so one
/// rank's copy is enough.
enum class PerParameter : std::uint8_t { rank0, all, none };

enum class LogLevel : std::uint8_t { debug, info, warning, error, off };

/// Which implementation computes the statistics. They agree in every count, minimum and maximum, and in the other figures within 1e-6.
enum class Kernel : std::uint8_t {
  automatic,    ///< the fastest that this machine can run
  portable,     ///< plain C++, in double precision: the specification of the others
  vector128,    ///< vectors of 128 bits: NEON of aarch64, SSE2 of x86-64
  avx2,         ///< x86-64 with AVX2, FMA and F16C
  avx512,       ///< x86-64 with AVX-512 F, BW, DQ and VL
  avx512_bf16,  ///< the same with AVX512-BF16, which makes bfloat16 tensors faster
};

/// By Kernel: what a file says, and what `use_kernel` of monitor/ knows.
inline constexpr std::array<std::string_view, 6> kKernelNames{"auto", "portable", "vector128", "avx2", "avx512", "avx512_bf16"};

struct RunConfig {
  /// Label `run` of every series; up to 128 bytes of printable UTF-8. Empty: the program's name, which stays the same over
  /// restarts, so that a continued run continues its series.
  std::string name;
  /// Label `model` of `vigil_run_info`; up to 128 bytes of printable UTF-8. Empty: the C++ type name of the watched module.
  std::string model;
};

struct WorkConfig {
  /// What the machine can do at best, in 10⁹ floating-point operations per second; `vigil_model_flops_utilization_ratio` is measured
  /// against it. Range 0 (not told, no such metric) to 10⁹.
  std::int64_t peak_gflops = 0;
};

struct SamplingConfig {
  /// Statistics are computed at step 1, at every step that is a multiple of this, and at the first step of each streak of
  /// non-finite steps. Range 1 to 1,000,000. 10 keeps the cost below 1 % where one sample costs less than a tenth of a step.
  std::int64_t every_steps = 10;
  bool parameters = true;  ///< statistics of the weights
  bool gradients = true;   ///< statistics of the gradients
  bool buffers = true;     ///< statistics of floating-point buffers (BatchNorm's running mean and variance)
  /// Shell patterns (`*`, `?`, `[…]`; see fnmatch(3)) over full parameter paths. A tensor is sampled when it matches one of
  /// `include` and none of `exclude`; an empty `include` samples nothing. The guard looks at every gradient, sampled or not.
  /// At most 1000 patterns a list, of 1 to 1024 bytes of printable UTF-8 each.
  std::vector<std::string> include = {"*"};
  std::vector<std::string> exclude = {};
  /// Patterns like those of `include`: sampled tensors (parameters, their gradients, buffers) that also get a histogram of magnitudes and
  /// its quantiles. None by default: a tensor has up to 38 series more with it, and its pass takes longer (docs/performance.md).
  std::vector<std::string> histogram = {};
  /// Patterns like those of `include`: sampled parameters whose update ratio ‖w − w'‖ / ‖w‖ over one optimizer step is measured. None by
  /// default: it needs a copy of each of these parameters, and one more pass over them.
  std::vector<std::string> update_ratio = {};
  /// Upper bound on the memory for these copies, in bytes: in the model's order, a parameter whose copy does not fit any more is left out.
  /// Range 64 KiB to 1 TiB.
  std::int64_t update_ratio_bytes = std::int64_t{1} << 30;
  /// Patterns like those of `include`: sampled parameters whose distance ‖w − w₀‖ from what they were at `watch()` is measured. None by
  /// default: it needs a copy of each of them.
  std::vector<std::string> distance = {};
  /// Patterns like those of `include`: sampled parameters of whose gradient the cosine with that of the sample before is measured. None by
  /// default: it needs a copy of each of these gradients.
  std::vector<std::string> gradient_cosine = {};
  /// Upper bound on the memory for the copies that `distance` and `gradient_cosine` need, in bytes, likewise. Range 64 KiB to 1 TiB.
  std::int64_t copy_bytes = std::int64_t{1} << 30;
  /// Patterns like those of `include`: parameters of whose optimizer state (Adam's moments, momentum buffers) the norms are measured. None
  /// by default: it reads as much memory again as that state has.
  std::vector<std::string> optimizer_state = {};
  /// Activations are observed on steps that are a multiple of this (and on step 1), which are sampled then whatever `every_steps` says, and
  /// in the first batch of an evaluation phase. Range 0 (never) to 1,000,000. An observed step takes longer, as libtorch hands every
  /// operator's arguments over; on the others nothing is attached.
  std::int64_t activations_every_steps = 100;
  /// Upper bound on the layers with activations, whose rows are allocated at `watch()`; later ones are counted as left out. Range 0 to
  /// 65,536.
  std::int64_t max_activations = 512;
  /// Of all monitors of the process: `automatic` is the fastest that the machine can run, unless another monitor has chosen. For tests and
  /// comparisons; `watch()` refuses one that the machine cannot run.
  Kernel kernel = Kernel::automatic;
};

struct GuardConfig {
  /// The guard reduces every gradient to "finite or not" and a squared sum at each step that is a multiple of this, and at
  /// sampled steps. Range 0 (never) to 1,000,000. The loss is looked at on every step.
  std::int64_t every_steps = 1;
  OnNonfinite on_nonfinite = OnNonfinite::warn;
  /// `rollback` happens at most this often in a run; after that it answers as `stop`. Range 1 to 1,000,000.
  std::int64_t max_rollbacks = 3;
  /// The verdict is `stop`, whatever `on_nonfinite` says, at this many non-finite steps in a row. Range 0 (never) to 1,000,000.
  std::int64_t stop_after_steps = 0;
  /// `train_step` runs the batch of a non-finite step (the first of a streak) once more under observation, to name the operation.
  bool replay = true;
  /// Steps that are observed operator by operator after a non-finite one that was not explained by a replay. Range 0 (none) to 1,000.
  /// Each of them takes several times as long.
  std::int64_t trace_next_steps = 0;
};

struct RingConfig {
  /// Step records kept before the oldest is overwritten. Range 16 to 16,777,216. 4096 records hold 40 s at 100 steps/s, far
  /// more than the export thread's interval.
  std::int64_t step_records = 4096;
  /// Memory for tensor frames, in bytes; at least two frames are kept whatever this says, and at most as many as step records. Range
  /// 64 KiB to 16 GiB.
  std::int64_t frame_bytes = std::int64_t{16} << 20;
  /// Put the rings into a file that vigild and the command line read, also after a crash. Then the program needs no port of its own
  /// (`exporters.prometheus.enabled: false`). Off: they are memory of the process.
  bool shared = false;
  /// Directory for it, which exists; best on a tmpfs, since a disk may make the training wait. Up to 4096 bytes of printable UTF-8. Empty:
  /// the first that can be written to of /run/vigil/rings, $XDG_RUNTIME_DIR/vigil and /dev/shm/vigil-<uid>; the latter two are made.
  std::string directory;
  /// Note in the file which fatal signal ended the process, by handlers for those that nobody handles, and for faults before the one that
  /// there is (crash_mark.h); and calls of exit().
  bool crash_signals = true;
};

struct PrometheusConfig {
  bool enabled = true;
  /// Numeric IPv4 or IPv6 address to listen on; host names are not resolved. Loopback by default: metrics tell of the model,
  /// so exposing them is a decision.
  std::string address = "127.0.0.1";
  /// TCP port, 0 to 65535; 0 lets the system choose (`TrainingMonitor::endpoint()` tells which). A launcher's LOCAL_RANK is added
  /// to it, so that the ranks of one host do not ask for the same one.
  std::int64_t port = 9464;
  /// Event loops of the HTTP server, 1 to 64: how many scrapes are rendered at the same time. Slow clients do not hold one.
  std::int64_t threads = 2;
  /// Upper bound on per-parameter series, 0 to 10,000,000. Over it the largest parameters by element count stay, the rest
  /// are folded into their layer, and `vigil_series_dropped_total` says so.
  std::int64_t max_series = 10000;
  PerParameter per_parameter = PerParameter::rank0;
  /// Export what smaller number formats would lose, as series of each tensor whose magnitudes are counted and of each layer's activations
  /// (docs/models/precision.md). Off, the counts of tensors by advice are exported all the same.
  bool precision = false;
  /// How long `finish()` keeps the endpoint open for one more scrape, in milliseconds, 0 to 600,000; it ends with that scrape. A run that
  /// stops at a NaN is otherwise gone before Prometheus comes: set it above the scrape interval where that matters. 0 does not wait.
  std::int64_t linger_ms = 0;
  /// File with TLS and users for this port, in the form that the exporters of Prometheus share (docs/web-config.md). Up to 4096 bytes;
  /// empty: anybody who reaches the port may read, without TLS.
  std::string web_config_file = {};
  /// Bound on what is kept of the run for the page at /, in bytes: all of its steps, the older ones summarised, and sampled frames. 0 keeps
  /// nothing, and the page shows the present only; up to 1 TiB, and less than 1 MiB counts as that. It fills as the run goes on.
  std::int64_t history_bytes = std::int64_t{32} << 20;
  /// Folder with the files of the page, for those who work on it. Up to 4096 bytes; empty: the page that is built in.
  std::string assets_directory = {};
};

struct JsonlConfig {
  bool enabled = false;
  /// File that step and tensor lines are appended to. Created with mode 0640 when missing. Up to 4096 bytes of printable
  /// UTF-8; not empty while `enabled`.
  /// Of several ranks, each appends ".rank<N>" to the name.
  std::string path = "vigil.jsonl";
  /// At this size, in bytes, the file becomes `<path>.1` (replacing an older one) and a new one begins. Range 64 KiB to 1 TiB.
  std::int64_t max_bytes = std::int64_t{256} << 20;
};

struct ReportConfig {
  /// A report `vigil-nan-<run>-<step>.json` is written at the first step of each streak of non-finite steps.
  bool enabled = true;
  /// Directory for it, which exists. Up to 4096 bytes of printable UTF-8; not empty while `enabled`.
  std::string directory = ".";
  /// Reports of one run; further streaks write none. Range 1 to 10,000.
  std::int64_t max_files = 10;
};

struct WebhookConfig {
  /// Where the action `webhook` posts to: http:// or https://, up to 2048 bytes. Empty: nowhere.
  std::string url;
  /// File whose first line is the key of the signature (HMAC-SHA256, header X-Vigil-Signature). Up to 4096 bytes; empty: not signed.
  std::string secret_file;
  /// A post that takes longer has failed, in milliseconds, 100 to 60,000. Failed ones are tried again, at first after 0.5 s, at most
  /// every 15 s.
  std::int64_t timeout_ms = 5000;
  /// Alerts that wait for it, 16 to 100,000. On top of that the oldest is dropped, and counted.
  std::int64_t queue_size = 1000;
};

struct AlertmanagerConfig {
  /// Where the action `alertmanager` posts to, e.g. http://127.0.0.1:9093 (its API v2 is below that), up to 2048 bytes. Empty: nowhere.
  std::string url;
  /// As for the webhook.
  std::int64_t timeout_ms = 5000;
  /// What fires is sent again this often, in milliseconds, 1,000 to 3,600,000; Alertmanager holds it to be over when it has not heard
  /// of it for four times as long.
  std::int64_t resend_ms = 30000;
};

struct ExportersConfig {
  /// How often the export thread reads the rings, in milliseconds: the age of what a scrape sees. Range 10 to 60,000.
  std::int64_t interval_ms = 250;
  PrometheusConfig prometheus;
  JsonlConfig jsonl;
  ReportConfig report;
  WebhookConfig webhook;
  AlertmanagerConfig alertmanager;
};

/// What happens when a rule fires and when it is over; besides, it is always counted in the metrics.
enum class AlertAction : std::uint8_t {
  log,           ///< a line
  webhook,       ///< exporters.webhook
  alertmanager,  ///< exporters.alertmanager
  dump,          ///< a report of the time before it, in exporters.report.directory
  checkpoint,    ///< the function given to `TrainingMonitor::set_checkpoint`, by the training thread at the end of a step
  stop,          ///< the next verdict is stop
  callback,      ///< the function given to `TrainingMonitor::on_alert`
  metric,        ///< nothing but vigil_alert_active and vigil_alerts_total, which every rule has: for a rule that is to do nothing else
};
inline constexpr std::array<std::string_view, 8> kAlertActionNames{"log",        "webhook", "alertmanager", "dump",
                                                                   "checkpoint", "stop",    "callback",     "metric"};

/// One rule of the catalogue (rule_table.h).
struct RuleConfig {
  bool enabled = true;
  Severity severity = Severity::warning;
  std::int64_t for_steps = 0;          ///< steps that its condition holds before it fires, 0 to 1,000,000,000
  std::int64_t for_ms = 0;             ///< and time, in milliseconds, 0 to 86,400,000
  std::int64_t keep_firing_steps = 0;  ///< steps without it after which it is over, 0 to 1,000,000,000
  /// Names of AlertAction; empty: those of `RulesConfig::actions`.
  std::vector<std::string> actions = {};
  std::array<double, kMaxRuleParameters> parameters{};  ///< in the order of the table
};

/// The catalogue as the table has it.
std::array<RuleConfig, kRules.size()> default_rules();

struct RulesConfig {
  /// Evaluate rules in this process. Off: no alert, no time spent.
  bool enabled = true;
  /// Of every rule that has none of its own: names of AlertAction.
  std::vector<std::string> actions = {"log", "callback"};
  /// Alerts of one rule that fire at the same time, 1 to 64: of a network in which every layer has died the first ones tell it.
  std::int64_t max_instances = 8;
  /// User scalar with the loss of a validation, as `log("loss", …)` in the phase "validation" makes it. 1 to 96 bytes.
  std::string validation_scalar = "validation/loss";
  /// Directory whose disk `disk_full` looks at; empty: none. Up to 4096 bytes.
  std::string disk_directory;
  /// Rules of your own (threshold.h): `METRIC[{label="value", …}] > NUMBER [for N steps | for T] [keep N steps] [info|warning|critical] [as
  /// NAME] [do ACTION …]`. At most 100, of 1 to 512 bytes.
  std::vector<std::string> threshold;
  std::array<RuleConfig, kRules.size()> catalogue = default_rules();
};

struct LogConfig {
  /// Least level that vigil logs, through its own spdlog logger named "vigil".
  LogLevel level = LogLevel::info;
};

struct Config {
  RunConfig run;
  WorkConfig work;
  SamplingConfig sampling;
  GuardConfig guard;
  RingConfig ring;
  ExportersConfig exporters;
  RulesConfig rules;
  LogConfig log;
};

}  // namespace vigil
