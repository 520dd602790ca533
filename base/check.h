// Assertions for what only a bug can break.
//
//   GREENRING_CHECK(fd >= 0);              // always on
//   GREENRING_DCHECK(state == kIdle);      // only in builds without NDEBUG
//
// A failed check prints the condition with its place on stderr and aborts. Never check input with these: what the
// network, the kernel, the configuration or the application may do gets an absl::Status. Thread-safe. Never parks.
#pragma once

namespace greenring {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace greenring

#define GREENRING_CHECK(condition)                                             \
  (__builtin_expect(static_cast<bool>(condition), true) ? static_cast<void>(0) \
                                                        : ::greenring::CheckFailed(__FILE__, __LINE__, #condition))

#ifdef NDEBUG
#define GREENRING_DCHECK(condition) static_cast<void>(sizeof(static_cast<bool>(condition)))
#else
#define GREENRING_DCHECK(condition) GREENRING_CHECK(condition)
#endif
