// Members of records as JSON: what a line of exporters.jsonl and the command line say of a step, a tensor and a schema.
#pragma once

#include <string>

#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"

namespace vigil {

// All append to an object that is open; names and units are those of jsonl_exporter.h.

/// What append_step leaves over of a step but its totals: durations, clip ratio, examples, whether it was finite, the origin.
void append_step_details(std::string& out, const StepRecord& record, const Schema& schema);
/// `"scalars":{…}`: the user's. `scalars` are all of the record's doubles, of which Schema::learning_rates come first.
void append_scalars(std::string& out, const StepRecord& record, const double* scalars, const Schema& schema, const NameTable& names);

/// Which tensor a row is of.
void append_tensor_head(std::string& out, const RowSchema& schema);
/// The same, its shape, number of elements and element type.
void append_tensor_description(std::string& out, const RowSchema& schema);
/// What was seen of it. `histogram` may be null.
void append_tensor(std::string& out, const RowSchema& schema, const TensorRow& row, const MagnitudeHistogram* histogram);

/// What the numbers of steps and frames stand for.
void append_schema(std::string& out, const Schema& schema);

}  // namespace vigil
