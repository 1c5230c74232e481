#include "tree/ring_fields.h"

#include <algorithm>
#include <stdexcept>

#include "vigil/monitor/ring_format.h"

namespace vigil {
namespace {

#define VIGIL_FIELD(of, member, type, meaning) \
  { #member, offsetof(of, member), sizeof(of::member), type, meaning }

std::vector<RingStruct> make_structs() {
  return {
      {"RingHeader",
       sizeof(RingHeader),
       {VIGIL_FIELD(RingHeader, magic, "chars", "`vigilrng`"),
        VIGIL_FIELD(RingHeader, abi_major, "u16", "1"),
        VIGIL_FIELD(RingHeader, abi_minor, "u16", "0"),
        VIGIL_FIELD(RingHeader, header_size, "u32", "4096: where the live words begin"),
        VIGIL_FIELD(RingHeader, compatible_flags, "u32", "additions that a reader may ignore: 1 the writer held its lock"),
        VIGIL_FIELD(RingHeader, incompatible_flags, "u32", "differences that it must know; none so far"),
        VIGIL_FIELD(RingHeader, endian_probe, "u64", "0x0102030405060708"),
        VIGIL_FIELD(RingHeader, total_size, "u64", "bytes of the file"),
        VIGIL_FIELD(RingHeader, ring_id, "bytes", "random; tells this file from every other"),
        VIGIL_FIELD(RingHeader, boot_id, "bytes", "`/proc/sys/kernel/random/boot_id`, as 16 bytes; 0: not known"),
        VIGIL_FIELD(RingHeader, pid, "i64", "process that writes, by its number in its own namespace"),
        VIGIL_FIELD(RingHeader, pid_namespace, "u64", "inode of `/proc/self/ns/pid`; 0: not known"),
        VIGIL_FIELD(RingHeader, process_start, "u64", "field 22 of `/proc/self/stat`: clock ticks after boot; 0: not known"),
        VIGIL_FIELD(RingHeader, uid, "u32", "effective user of the writer, to whom the file belongs"),
        VIGIL_FIELD(RingHeader, section_count, "u32", "12"),
        VIGIL_FIELD(RingHeader, wall_time_ns, "i64", "nanoseconds since the epoch when the file was made"),
        VIGIL_FIELD(RingHeader, monotonic_ns, "i64", "CLOCK_MONOTONIC at the same moment"),
        VIGIL_FIELD(RingHeader, sections, "Section[12]", "one for each kind, in the order of their numbers"),
        VIGIL_FIELD(RingHeader, reserved, "u32", "0"),
        VIGIL_FIELD(RingHeader, crc, "u32", "CRC-32C (Castagnoli) of all bytes before it")}},
      {"Section",
       sizeof(Section),
       {VIGIL_FIELD(Section, kind, "u32", "number of the section"), VIGIL_FIELD(Section, reserved, "u32", "0"),
        VIGIL_FIELD(Section, offset, "u64", "bytes from the start of the file, a multiple of 64"),
        VIGIL_FIELD(Section, size, "u64", "bytes"),
        VIGIL_FIELD(Section, record_size, "u64", "bytes of one record: of a ring the payload of a slot, of a table one entry"),
        VIGIL_FIELD(Section, count, "u64", "records: of a ring its slots, of a table its capacity")}},
      {"LiveWords",
       sizeof(LiveWords),
       {VIGIL_FIELD(LiveWords, heartbeat_ns, "i64", "CLOCK_MONOTONIC when the training thread was last in vigil"),
        VIGIL_FIELD(LiveWords, last_step, "u64", "step of the newest step record"),
        VIGIL_FIELD(LiveWords, state, "u64", "0 starting, 1 running, 2 finished, 3 failed"),
        VIGIL_FIELD(LiveWords, phase, "u64", "what runs now: an index into the phase names"),
        VIGIL_FIELD(LiveWords, commits, "u64", "records published so far, in all rings"),
        VIGIL_FIELD(LiveWords, losses, "u64", "names of scalars, phases and layers that there was no room for"),
        VIGIL_FIELD(LiveWords, end_signal, "u64", "number of the fatal signal that the process got; 0: none"),
        VIGIL_FIELD(LiveWords, end_exit, "u64", "1: the process called `exit()` before the run had ended")}},
      {"IdentityRecord",
       sizeof(IdentityRecord),
       {VIGIL_FIELD(IdentityRecord, run, "text", "label `run`"), VIGIL_FIELD(IdentityRecord, model, "text", "what is trained"),
        VIGIL_FIELD(IdentityRecord, libtorch, "text", "version"), VIGIL_FIELD(IdentityRecord, host, "text", "name of the machine"),
        VIGIL_FIELD(IdentityRecord, rank, "i64", "from 0"), VIGIL_FIELD(IdentityRecord, world_size, "i64", "ranks of the job, from 1"),
        VIGIL_FIELD(IdentityRecord, attempt, "i64", "restarts by the launcher"),
        VIGIL_FIELD(IdentityRecord, pid, "i64", "as the run tells it"),
        VIGIL_FIELD(IdentityRecord, start_time_ns, "i64", "nanoseconds since the epoch"),
        VIGIL_FIELD(IdentityRecord, is_continued, "u64", "1: the run goes on with what was trained before"),
        VIGIL_FIELD(IdentityRecord, histograms, "u64", "of a frame; at most as many as rows"),
        VIGIL_FIELD(IdentityRecord, learning_rates, "u64", "parameter groups"),
        VIGIL_FIELD(IdentityRecord, activations, "u64", "layers with activations that there is room for"),
        VIGIL_FIELD(IdentityRecord, layers, "u64", "modules that own a parameter"),
        VIGIL_FIELD(IdentityRecord, peak_flops, "f64", "of the machine, in operations per second; 0: not told"),
        VIGIL_FIELD(IdentityRecord, sizes, "u64[6]", "elements and bytes of trainable parameters, of frozen ones, of buffers")}},
      {"TextPlace",
       sizeof(TextPlace),
       {VIGIL_FIELD(TextPlace, offset, "u32", "from the start of the strings"),
        VIGIL_FIELD(TextPlace, size, "u32", "bytes; UTF-8, no zero behind")}},
      {"RowRecord",
       sizeof(RowRecord),
       {VIGIL_FIELD(RowRecord, kind, "u32", "0 parameter, 1 gradient, 2 buffer"),
        VIGIL_FIELD(RowRecord, dtype, "u32", "0 float32, 1 float64, 2 bfloat16, 3 float16"),
        VIGIL_FIELD(RowRecord, name, "text", "full path of the tensor"), VIGIL_FIELD(RowRecord, layer, "text", "path of its module"),
        VIGIL_FIELD(RowRecord, shape, "text", "e.g. `[64, 3, 7, 7]`"), VIGIL_FIELD(RowRecord, element_count, "u64", "when it was watched"),
        VIGIL_FIELD(RowRecord, histogram, "i32", "which of the frame's; -1: none"),
        VIGIL_FIELD(RowRecord, part, "i32", "of several models that are trained together, which"),
        VIGIL_FIELD(RowRecord, learning_rate, "i32", "which of the run's; -1: none"),
        VIGIL_FIELD(RowRecord, flags, "u32", "1 update_norm, 2 distance, 4 cosine: what is measured"),
        VIGIL_FIELD(RowRecord, infinite, "u64", "infinite elements of a buffer that are meant"),
        VIGIL_FIELD(RowRecord, state_count, "u32", "names that follow, at most 3"), VIGIL_FIELD(RowRecord, reserved, "u32", "0"),
        VIGIL_FIELD(RowRecord, optimizer_state, "text[3]", "letters, digits and `_`: what `state_norms` are the norms of")}},
      {"NoteRecord",
       sizeof(NoteRecord),
       {VIGIL_FIELD(NoteRecord, ready, "u64", "1: size and text are whole; stored last"),
        VIGIL_FIELD(NoteRecord, gave_up, "u64", "1: the hook has given something up"),
        VIGIL_FIELD(NoteRecord, size, "u64", "bytes of the text"),
        VIGIL_FIELD(NoteRecord, text, "chars", "the first failure of the hook, in words")}},
      {"StepRecord",
       sizeof(StepRecord),
       {VIGIL_FIELD(StepRecord, step, "u64", "from 1"),
        VIGIL_FIELD(StepRecord, wall_time_ns, "i64", "when the step ended"),
        VIGIL_FIELD(StepRecord, flags, "u64", "which of the fields are valid, see below"),
        VIGIL_FIELD(StepRecord, loss, "f64", "may be NaN"),
        VIGIL_FIELD(StepRecord, gradient_norm, "f64", "of all gradients"),
        VIGIL_FIELD(StepRecord, parameter_norm, "f64", "of all parameters, at the latest sample"),
        VIGIL_FIELD(StepRecord, forward_backward_ns, "u64", "time up to the end of the backward pass"),
        VIGIL_FIELD(StepRecord, data_ns, "u64", "of loading data"),
        VIGIL_FIELD(StepRecord, optimizer_ns, "u64", "of the optimizer"),
        VIGIL_FIELD(StepRecord, total_ns, "u64", "of the step"),
        VIGIL_FIELD(StepRecord, vigil_ns, "u64", "of it, in vigil"),
        VIGIL_FIELD(StepRecord, clip_ratio, "f64", "what clipping makes of the gradients"),
        VIGIL_FIELD(StepRecord, examples, "u64", "of the batch; 0: not known"),
        VIGIL_FIELD(StepRecord, multiply_accumulates, "u64", "of a step; 0: not known"),
        VIGIL_FIELD(StepRecord, device_allocated, "u64", "bytes in tensors"),
        VIGIL_FIELD(StepRecord, device_reserved, "u64", "bytes that the device's allocator holds"),
        VIGIL_FIELD(StepRecord, device_peak, "u64", "most bytes in tensors at once"),
        VIGIL_FIELD(StepRecord, device_retries, "u64", "times that the allocator gave free blocks back to get another"),
        VIGIL_FIELD(StepRecord, device_out_of_memory, "u64", "times that even so it got none"),
        VIGIL_FIELD(StepRecord, totals, "RunTotals", "sums since the start of the run"),
        VIGIL_FIELD(StepRecord, origin, "i64", "parameter of the latest non-finite origin; -1: none"),
        VIGIL_FIELD(StepRecord, origin_step, "u64", "its step; 0: none"),
        VIGIL_FIELD(StepRecord, user_scalars, "u64", "user scalars that hold a value")}},
      {"RunTotals",
       sizeof(RunTotals),
       {VIGIL_FIELD(RunTotals, nonfinite_values, "u64[8]", "NaN and infinite values of loss, gradients, parameters, activations, in turn"),
        VIGIL_FIELD(RunTotals, nonfinite_steps, "u64", "steps that were not finite"),
        VIGIL_FIELD(RunTotals, skipped_steps, "u64", "verdicts not to step"),
        VIGIL_FIELD(RunTotals, rollbacks, "u64", "times that the last good state was restored"),
        VIGIL_FIELD(RunTotals, micro_batches, "u64", "backward passes of accumulated gradients"),
        VIGIL_FIELD(RunTotals, examples, "u64", "of all batches"),
        VIGIL_FIELD(RunTotals, layers_dropped, "u64", "layers with activations without a row"),
        VIGIL_FIELD(RunTotals, samples, "u64", "frames published"),
        VIGIL_FIELD(RunTotals, overhead_ns, "u64", "time of the training thread in vigil"),
        VIGIL_FIELD(RunTotals, loop_overhead_ns, "u64", "the same since the end of the first step"),
        VIGIL_FIELD(RunTotals, loop_ns, "u64", "time since then"),
        VIGIL_FIELD(RunTotals, hook_errors, "u64[12]", "steps on which a hook failed, in the order of the notes")}},
      {"FrameHeader",
       sizeof(FrameHeader),
       {VIGIL_FIELD(FrameHeader, step, "u64", "whose tensors these are"), VIGIL_FIELD(FrameHeader, wall_time_ns, "i64", "when"),
        VIGIL_FIELD(FrameHeader, activations, "u64", "rows of activations that are valid")}},
      {"TensorRow",
       sizeof(TensorRow),
       {VIGIL_FIELD(TensorRow, moments, "Moments", "of its elements"),
        VIGIL_FIELD(TensorRow, state, "u64", "0 absent, 1 present, 2 unreadable, 3 frozen"),
        VIGIL_FIELD(TensorRow, update_norm, "f64", "of what the latest step changed; NaN: not measured"),
        VIGIL_FIELD(TensorRow, distance, "f64", "from what it was at the start, likewise"),
        VIGIL_FIELD(TensorRow, cosine, "f64", "of a gradient and that of the sample before, likewise"),
        VIGIL_FIELD(TensorRow, state_norms, "f64[3]", "of the optimizer's state"),
        VIGIL_FIELD(TensorRow, states, "u64", "bit i: the optimizer has that state")}},
      {"Moments",
       sizeof(Moments),
       {VIGIL_FIELD(Moments, count, "u64", "elements"), VIGIL_FIELD(Moments, nan_count, "u64", "of them NaN"),
        VIGIL_FIELD(Moments, inf_count, "u64", "infinite"), VIGIL_FIELD(Moments, zero_count, "u64", "zero"),
        VIGIL_FIELD(Moments, min, "f64", "of the finite ones, as all below"), VIGIL_FIELD(Moments, max, "f64", ""),
        VIGIL_FIELD(Moments, mean, "f64", ""), VIGIL_FIELD(Moments, l1, "f64", "sum of magnitudes"),
        VIGIL_FIELD(Moments, m2, "f64", "sum of (x - mean)², in units of 4^scale_exponent"),
        VIGIL_FIELD(Moments, sum_squares, "f64", "sum of x², likewise"),
        VIGIL_FIELD(Moments, scale_exponent, "i64", "0 unless squares leave the range of double")}},
      {"MagnitudeHistogram",
       sizeof(MagnitudeHistogram),
       {VIGIL_FIELD(MagnitudeHistogram, underflow, "u64", "0 < \\|x\\| <= 2^-28"),
        VIGIL_FIELD(MagnitudeHistogram, buckets, "u64[32]", "[i]: 2^(i-28) < \\|x\\| <= 2^(i-27)"),
        VIGIL_FIELD(MagnitudeHistogram, overflow, "u64", "2^4 < \\|x\\|, finite")}},
      {"ActivationRow",
       sizeof(ActivationRow),
       {VIGIL_FIELD(ActivationRow, moments, "Moments", "of the layer's output"),
        VIGIL_FIELD(ActivationRow, saturated_ratio, "f64", "NaN: does not apply"),
        VIGIL_FIELD(ActivationRow, dead_ratio, "f64", "likewise"),
        VIGIL_FIELD(ActivationRow, step, "u64", "when it was measured; 0: not yet")}},
      {"NonfiniteEvent",
       sizeof(NonfiniteEvent),
       {VIGIL_FIELD(NonfiniteEvent, step, "u64", "the first of a streak"), VIGIL_FIELD(NonfiniteEvent, wall_time_ns, "i64", "when"),
        VIGIL_FIELD(NonfiniteEvent, found_by, "u64", "0 bracket, 1 replay, 2 trace"),
        VIGIL_FIELD(NonfiniteEvent, loss_nonfinite, "u64", "1: so was the loss"),
        VIGIL_FIELD(NonfiniteEvent, nonfinite_parameters, "u64", "parameters whose gradients were not finite"),
        VIGIL_FIELD(NonfiniteEvent, backward, "u64", "1: in the backward pass"),
        VIGIL_FIELD(NonfiniteEvent, layer, "chars", "up to the first 0, as all texts here"),
        VIGIL_FIELD(NonfiniteEvent, operation, "chars", ""), VIGIL_FIELD(NonfiniteEvent, forward_operation, "chars", ""),
        VIGIL_FIELD(NonfiniteEvent, parameter, "chars", ""), VIGIL_FIELD(NonfiniteEvent, nearest_finite, "chars", ""),
        VIGIL_FIELD(NonfiniteEvent, message, "chars", "all of it, in one sentence"),
        VIGIL_FIELD(NonfiniteEvent, operand_count, "u64", "operands that are valid"),
        VIGIL_FIELD(NonfiniteEvent, operands, "OperandSeen[6]", "inputs of the operation")}},
      {"OperandSeen",
       sizeof(OperandSeen),
       {VIGIL_FIELD(OperandSeen, description, "chars", "type and shape"), VIGIL_FIELD(OperandSeen, moments, "Moments", "of it")}},
  };
}

#undef VIGIL_FIELD

}  // namespace

const RingField& RingStruct::field(std::string_view field_name) const {
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const RingField& one) { return one.name == field_name; });
  if (found == fields.end()) throw std::invalid_argument(std::string(field_name));
  return *found;
}

const std::vector<RingStruct>& ring_structs() {
  static const std::vector<RingStruct> structs = make_structs();
  return structs;
}

const RingStruct& ring_struct(std::string_view name) {
  for (const RingStruct& one : ring_structs()) {
    if (one.name == name) return one;
  }
  throw std::invalid_argument(std::string(name));
}

}  // namespace vigil
