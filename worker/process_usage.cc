#include "worker/process_usage.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

#include "base/clock.h"
#include "ioloop/posix/interposer.h"

namespace greenring::worker {

ProcessUsage::ProcessUsage() : statm_(open("/proc/self/statm", O_RDONLY | O_CLOEXEC)) {}

int64_t ProcessUsage::RssBytes() const {
  char text[128];
  // Not pread(2), which would park a green thread.
  const ssize_t size = posix::real::pread(statm_.get(), text, sizeof(text) - 1, 0);
  if (size <= 0) return 0;
  text[size] = '\0';
  long long pages_all = 0, pages_resident = 0;
  if (std::sscanf(text, "%lld %lld", &pages_all, &pages_resident) != 2) return 0;
  return pages_resident * sysconf(_SC_PAGESIZE);
}

int64_t ProcessUsage::CpuNs() {
  timespec used;
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0) return 0;
  return used.tv_sec * kNanosecondsPerSecond + used.tv_nsec;
}

}  // namespace greenring::worker
