#include "vigil/exporters/shared_rendering.h"

#include <utility>

namespace vigil {

SharedRenderings::Body SharedRenderings::get(const std::shared_ptr<const void>& snapshot, TextFormat format, bool is_gzip,
                                             const std::function<std::string()>& render) {
  Slot& slot = slots_[2 * static_cast<std::size_t>(format) + (is_gzip ? 1 : 0)];
  const auto is_of_snapshot = [&] { return !slot.snapshot.owner_before(snapshot) && !snapshot.owner_before(slot.snapshot); };
  const auto body_of = [](const std::shared_ptr<Flight>& flight) { return Body(flight, &flight->body); };

  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    const std::shared_ptr<Flight> earlier = is_of_snapshot() ? slot.flight.lock() : nullptr;
    if (!earlier || earlier->state == Flight::State::failed) break;
    landed_.wait(lock, [&earlier] { return earlier->state != Flight::State::under_way; });
    if (earlier->state == Flight::State::done) return body_of(earlier);
  }
  const auto own = std::make_shared<Flight>();
  slot.snapshot = snapshot;
  slot.flight = own;
  renderings_.fetch_add(1, std::memory_order_relaxed);
  lock.unlock();

  const auto land = [&](Flight::State state) {
    lock.lock();
    own->state = state;
    lock.unlock();
    landed_.notify_all();
  };
  try {
    own->body = render();
  } catch (...) {
    land(Flight::State::failed);
    throw;
  }
  land(Flight::State::done);
  return body_of(own);
}

}  // namespace vigil
