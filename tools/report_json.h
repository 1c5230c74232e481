// Distributions and advice on number formats as JSON.
#pragma once

#include <string>

#include "vigil/inspection/report_html.h"

namespace vigil::tools {

/// `{"elements":…,"quantiles":[…],"histogram":{…},"exponents":{…},"density":{…}}`, with a comma and `"key":` in front.
void append_distribution(std::string& out, std::string_view key, const Distribution& distribution);

/// `"magnitudes":{…}`, with a comma in front.
void append_magnitudes(std::string& out, const MagnitudeHistogram& magnitudes);

/// `"precision":[…]`, an object for each of kNumberFormats, with a comma in front; nothing where has_precision() is not.
void append_advice(std::string& out, const ReportTensor& tensor);

}  // namespace vigil::tools
