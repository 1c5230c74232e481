// The number of threads that libtorch computes with, for a while.
#pragma once

#include <ATen/Parallel.h>

namespace vigil {

/// Sets it, and puts back what it was.
class ThreadCount {
 public:
  explicit ThreadCount(int count) { at::set_num_threads(count); }
  ~ThreadCount() { at::set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  const int before_ = at::get_num_threads();
};

}  // namespace vigil
