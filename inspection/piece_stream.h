// Elements of a tensor on demand, for who reads two tensors in step.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>

#include "vigil/inspection/model_tensor.h"

namespace vigil {

/// Turns TensorElements::for_each_piece, which calls, into something that is called: a thread reads the next piece while its caller waits,
/// and waits while the caller looks at it.
class PieceStream {
 public:
  struct Piece {
    const unsigned char* data = nullptr;
    std::size_t count = 0;  ///< 0: there are no more
  };

  /// Starts the thread; `elements` outlives this. @throws std::system_error
  explicit PieceStream(const TensorElements& elements);
  /// Has the thread stop at its next piece, and waits for it.
  ~PieceStream();
  PieceStream(const PieceStream&) = delete;
  PieceStream& operator=(const PieceStream&) = delete;

  /// The next piece, valid until next() is called again or this is gone. @throws what reading it threw
  Piece next();

 private:
  struct Stopped {};  // thrown out of for_each_piece

  void read(const TensorElements& elements) noexcept;

  std::mutex mutex_;
  std::condition_variable changed_;
  Piece piece_;
  bool is_wanted_ = false, is_there_ = false, is_over_ = false, is_stopped_ = false;
  std::exception_ptr failure_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace vigil
