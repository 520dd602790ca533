// Whether a sanitizer instruments this translation unit: GREENRING_ASAN and GREENRING_TSAN are 1 or 0.
//
//   #if GREENRING_ASAN
//   #include <sanitizer/asan_interface.h>
//   #endif
//
// gcc and clang tell it in different ways.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GREENRING_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define GREENRING_TSAN 1
#endif
#endif

#if !defined(GREENRING_ASAN)
#if defined(__SANITIZE_ADDRESS__)
#define GREENRING_ASAN 1
#else
#define GREENRING_ASAN 0
#endif
#endif

// For functions that stand in for the C library's: sanitizer runtimes call them before instrumented code may run.
#if defined(__clang__)
#define GREENRING_UNINSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define GREENRING_UNINSTRUMENTED
#endif

#if !defined(GREENRING_TSAN)
#if defined(__SANITIZE_THREAD__)
#define GREENRING_TSAN 1
#else
#define GREENRING_TSAN 0
#endif
#endif
