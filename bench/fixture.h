// The memory that is being measured. All members of a comparison share it, and only one of these lives at a time: they are large.
#pragma once

#include <memory>
#include <set>
#include <string>

namespace vigil::bench {

/// Where the fixture of the running benchmarks lives. One thread.
class FixtureShelf {
 public:
  static FixtureShelf& instance();

  /// The fixture named `key`: the one that is held, or `make()`, a std::shared_ptr to one of type T, after the held one was destroyed.
  /// The name belongs to one type.
  template <class T, class Make>
  T& get(const std::string& key, Make make) {
    if (key != key_) {
      clear();
      held_ = make();
      key_ = key;
    }
    return *static_cast<T*>(held_.get());
  }

  /// True once for each benchmark and fixture: its results are to be checked before it is measured.
  bool is_unchecked(const std::string& benchmark);

  void clear();

 private:
  std::string key_;
  std::shared_ptr<void> held_;
  std::set<std::string> checked_;
};

/// Says what is wrong and ends the program with status 1: a figure of a wrong result must not be seen.
[[noreturn]] void fail(const std::string& benchmark, const std::string& what);

}  // namespace vigil::bench
