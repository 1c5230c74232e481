#include "vigil/inspection/piece_stream.h"

namespace vigil {

PieceStream::PieceStream(const TensorElements& elements) : thread_([this, &elements] { read(elements); }) {}

PieceStream::~PieceStream() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

PieceStream::Piece PieceStream::next() {
  std::unique_lock lock(mutex_);
  is_there_ = false;
  is_wanted_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return is_there_ || is_over_; });
  if (is_there_) return piece_;
  if (failure_) std::rethrow_exception(failure_);
  return {};
}

void PieceStream::read(const TensorElements& elements) noexcept {
  const auto wait_until_wanted = [this](std::unique_lock<std::mutex>& lock) {
    changed_.wait(lock, [this] { return is_wanted_ || is_stopped_; });
    if (is_stopped_) throw Stopped();
  };
  std::exception_ptr failure;
  try {
    elements.for_each_piece([&](const void* data, std::size_t count) {
      if (count == 0) return;
      std::unique_lock lock(mutex_);
      wait_until_wanted(lock);
      piece_ = {static_cast<const unsigned char*>(data), count};
      is_wanted_ = false;
      is_there_ = true;
      changed_.notify_all();
      // What `data` points to is overwritten once this returns.
      wait_until_wanted(lock);
    });
  } catch (const Stopped&) {
  } catch (...) {
    failure = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    is_over_ = true;
  }
  changed_.notify_all();
}

}  // namespace vigil
