#include "vigil/tools/run_replay.h"

#include <iterator>
#include <utility>

#include "vigil/exporters/alert_rules.h"

namespace vigil::tools {

RunReplay::RunReplay(std::vector<std::string> paths, const Config& config) : paths_(std::move(paths)), config_(config), reader_(paths_) {
  read_next();
}

std::vector<std::string> RunReplay::take_notes() {
  std::vector<std::string> notes = std::exchange(notes_, {});
  std::vector<std::string> of_reader = reader_.take_notes();
  std::move(of_reader.begin(), of_reader.end(), std::back_inserter(notes));
  return notes;
}

void RunReplay::read_next() {
  for (auto item = reader_.next(); item; item = reader_.next()) {
    const JsonlDecoder& decoder = reader_.decoder();
    has_next_ = true;
    next_ = *item;
    if (next_ == JsonlItem::run) {
      position_ = {position_.run + 1, 0};
    } else if (next_ == JsonlItem::step) {
      position_.step = decoder.record().step;
    } else if (next_ == JsonlItem::frame) {
      position_.step = decoder.frame().header.step;
    } else if (next_ == JsonlItem::event) {
      position_.step = decoder.event().step;
    } else {
      continue;
    }
    return;
  }
  has_next_ = false;
  next_ = JsonlItem::other;
}

void RunReplay::begin_run() {
  running_ = schema();
  engine_ = make_alert_engine(*running_, config_.rules);
  engine_->set_on_alert([this](const Alert& alert) {
    if (on_alert_) on_alert_(alert);
  });
  is_first_step_ = true;
}

void RunReplay::take_step() {
  const JsonlDecoder& decoder = reader_.decoder();
  record_ = decoder.record();
  if (std::exchange(is_first_step_, false) && record_.step > 1) {
    engine_->join(record_.totals);
    notes_.push_back(reader_.place() + ": the run begins at step " + std::to_string(record_.step) +
                     " here; rules that look at its beginning take this for it");
  }
  engine_->on_step(record_, decoder.scalars(), decoder.scalar_names());
  if (!record_.has(StepRecord::again)) ++steps_;
}

const StepRecord* RunReplay::advance() {
  const JsonlDecoder& decoder = reader_.decoder();
  const bool is_step = next_ == JsonlItem::step;
  if (next_ == JsonlItem::run) {
    begin_run();
  } else if (is_step) {
    take_step();
  } else if (next_ == JsonlItem::frame) {
    engine_->on_frame(decoder.frame());
    ++frames_;
  } else if (next_ == JsonlItem::event) {
    engine_->on_event(decoder.event());
  }
  read_next();
  return is_step ? &record_ : nullptr;
}

}  // namespace vigil::tools
