// A model in one page: what is in it, how its values are distributed, what smaller formats would lose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vigil/inspection/tensor_distribution.h"
#include "vigil/monitor/number_format.h"

namespace vigil {

/// Groups of tensors whose names mean something to a report: rows of the first two that have the same name stand together.
inline constexpr const char* kParameterGroup = "parameters";
inline constexpr const char* kGradientGroup = "gradients";
inline constexpr const char* kBufferGroup = "buffers";
inline constexpr const char* kActivationGroup = "activations";

/// A tensor of the report. What is not known is left empty, and its cell says so.
struct ReportTensor {
  std::string name;   ///< any bytes
  std::string group;  ///< which of the tables it stands in: one of those above, or another word
  std::string shape;  ///< "[64, 3, 7, 7]"
  std::string dtype;
  std::uint64_t elements = 0, bytes = 0;
  bool is_shared = false;                    ///< its memory is that of a tensor before it, with which it counts
  std::optional<Distribution> distribution;  ///< of a saved model, or one in memory
  // Of a run, where elements are gone: what its samples keep. Not looked at beside a distribution.
  std::optional<Moments> moments;
  std::optional<MagnitudeHistogram> magnitudes;
  std::uint64_t meant_infinite = 0;  ///< elements of it that are infinite and are meant to be, as in a mask
  std::string problem;               ///< why nothing is known of it; stands in its row
};

/// Of its distribution, or its own; null where there are none.
const Moments* moments_of(const ReportTensor& tensor) noexcept;
const MagnitudeHistogram* magnitudes_of(const ReportTensor& tensor) noexcept;
/// Whether a smaller format is a question for it that can be answered: floating-point, wider than 8 bits, with magnitudes and a finite
/// element.
bool has_precision(const ReportTensor& tensor) noexcept;
/// "no elements", "no finite element", "one element", "one finite element", "all zero" or "constant" for what has no shape to be drawn;
/// else empty.
std::string flatness_of(const ReportTensor& tensor);

struct ReportFinding {
  bool is_fault = true;  ///< else a note
  std::string tensor, text;
};

struct ModelReport {
  std::string title;                                       ///< file, or run
  std::vector<std::pair<std::string, std::string>> facts;  ///< of the header: "parameters" "44,426", "fingerprint" "…"
  std::vector<std::string> notes;                          ///< what the report lacks, and why
  std::optional<std::vector<ReportFinding>> findings;      ///< none: not checked. Empty: checked, and nothing found
  std::vector<ReportTensor> tensors;
  std::optional<Distribution> whole;   ///< of all parameters together
  std::vector<ReportTensor> together;  ///< of a run in place of it, all of a group: parameters, gradients
};

/// What `whole` is of: "All parameters", or, where no tensor is said to be one, "All floating-point tensors".
std::string whole_name(const ModelReport& report);

/// Bounds on the size of the page: a row takes about 2 kB, one with pictures about 4 kB more.
struct ReportLimits {
  std::size_t pictures = 600;   ///< tensors with pictures, those with the most elements
  std::size_t rows = 2500;      ///< tensors with a row at all, likewise
  std::size_t findings = 1000;  ///< those shown; the rest is a number
};

/// One HTML document in UTF-8 that is well-formed XML as well, complete by itself: no script, no request, pictures as inline SVG; light or
/// dark as the reader's system says; to be printed as well. Texts are escaped and made printable, whatever bytes they have; long ones are
/// clipped, with up to 512 bytes in their title. What the limits leave out is told in the page, parameters and gradients by pairs. At most
/// 10 MB by default, for names of up to 100 characters. @throws std::bad_alloc
std::string report_html(const ModelReport& report, const ReportLimits& limits = {});

}  // namespace vigil
