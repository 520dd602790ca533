// errno as a caller of the C library knows it: set by a failure, untouched by a success, whatever was tried between.
//
//   ErrnoScope scope;
//   ...                                     // plain calls that may fail on the way
//   return scope.Return(result);            // bytes, or a negative errno
#pragma once

#include <errno.h>

#include <cstdint>

namespace greenring::posix {

class ErrnoScope {
 public:
  ErrnoScope() : before_(errno) {}
  ErrnoScope(const ErrnoScope&) = delete;
  ErrnoScope& operator=(const ErrnoScope&) = delete;

  // What the C library's function returns for `result`: itself, or -1 and errno for a negative errno.
  int64_t Return(int64_t result) const {
    errno = result < 0 ? static_cast<int>(-result) : before_;
    return result < 0 ? -1 : result;
  }

 private:
  const int before_;
};

// The result of a plain call as the ring gives results: a negative errno instead of -1.
inline int64_t ResultOf(int64_t returned) { return returned == -1 ? -errno : returned; }

}  // namespace greenring::posix
