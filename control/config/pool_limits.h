// What a pool may be told at least and at most, each with its reason, and its defaults. pool.proto and
// docs/CONFIGURATION.md say the same in words.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace greenring::control {

// ---- names and texts ----

inline constexpr size_t kPoolIdBytesMax = 63;           // as a label in DNS: names of pools become those of metrics
inline constexpr size_t kPathBytesMax = 4095;           // PATH_MAX
inline constexpr size_t kEnvironmentBytesMax = 131071;  // of one NAME=value: MAX_ARG_STRLEN, execve takes no longer one
inline constexpr size_t kUwsgiOptionBytesMax = 131071;  // of one name=value: no flag can be longer (MAX_ARG_STRLEN)
inline constexpr int kListenersMax = 64;                // each is a descriptor for each worker
inline constexpr int kNeighboursMax = 128;              // on shared addresses; the same; SCM_RIGHTS takes 253

// ---- processes and cores ----

inline constexpr int64_t kWorkersMax = 1024;  // more than any machine has use for
inline constexpr int64_t kWorkersDefault = 1;
inline constexpr int64_t kAsyncCoresMax = 100'000;  // beyond this the mappings of old kernels run out
inline constexpr int64_t kAsyncCoresDefault = 256;
inline constexpr int64_t kStackPageBytes = 4096;          // as uGreen counts
inline constexpr int64_t kStackSizeBytesMin = 16 << 10;   // less holds no Python frame and a C extension
inline constexpr int64_t kStackSizeBytesMax = 256 << 20;  // 32 times what an OS thread has
inline constexpr int64_t kStackSizeBytesDefault = 256 << 10;
inline constexpr int64_t kQueueDepthMax = 1 << 20;  // each waiting request holds its head
inline constexpr int64_t kQueueDepthDefault = 1024;
inline constexpr int64_t kCpusMax = 1024;  // CPU_SETSIZE

// A shorter slice costs more than it gives; with a longer one others have timed out.
inline constexpr absl::Duration kTimeSliceMin = absl::Milliseconds(1);
inline constexpr absl::Duration kTimeSliceMax = absl::Seconds(10);
inline constexpr absl::Duration kTimeSliceDefault = absl::Milliseconds(10);
inline constexpr absl::Duration kAuditThresholdDefault = absl::Milliseconds(10);

// ---- connections ----

inline constexpr char kListenerDefault[] = "127.0.0.1:8080";
inline constexpr int64_t kBacklogMax = 1 << 20;
inline constexpr int64_t kBacklogDefault = 4096;
inline constexpr int64_t kRequestLineBytesMin = 64;  // less refuses every request
inline constexpr int64_t kRequestLineBytesMax = 32 << 10;
inline constexpr int64_t kRequestLineBytesDefault = 8190;  // Apache's LimitRequestLine
inline constexpr int64_t kRequestFieldsMax = 1000;
inline constexpr int64_t kRequestFieldsDefault = 100;

// ---- timeouts ----

inline constexpr absl::Duration kRequestGraceDefault = absl::Seconds(5);
inline constexpr absl::Duration kKeepaliveDefault = absl::Seconds(75);
inline constexpr absl::Duration kHeaderDefault = absl::Seconds(30);
inline constexpr absl::Duration kIoDefault = absl::Seconds(60);
inline constexpr absl::Duration kDrainDefault = absl::Seconds(30);
inline constexpr absl::Duration kStartDefault = absl::Seconds(60);
inline constexpr absl::Duration kStartMin = absl::Milliseconds(100);  // CPython alone needs half of it

// ---- recycling ----

// An interpreter has 10 MiB before the application: with less a worker would be replaced as soon as it is ready.
inline constexpr int64_t kRssBytesMin = 16 << 20;
inline constexpr absl::Duration kLifetimeMin = absl::Seconds(1);

}  // namespace greenring::control
