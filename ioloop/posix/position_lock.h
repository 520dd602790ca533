// The position of a file that is read or written by the ring "at the current position".
//
// The kernel's read(2) and write(2) keep two threads from using one position at the same time; its io_uring does not:
// two writes in flight would land on top of each other. So the green threads of one OS thread line up here, by inode,
// since several descriptors may share a position. Other OS threads do not.
#pragma once

#include <sys/stat.h>

namespace greenring::posix {

class PositionLock {
 public:
  PositionLock() = default;
  ~PositionLock();
  PositionLock(const PositionLock&) = delete;
  PositionLock& operator=(const PositionLock&) = delete;

  // Whether a green thread of this OS thread holds any. Never parks.
  static bool AnyHeld() { return held_ != nullptr; }

  // Until nobody else holds the file's; at most once. False: the green thread was cancelled. Parks.
  bool Acquire(const struct stat& file);

 private:
  bool HeldByAnother() const;

  // Those that are held, on their stacks.
  static inline constinit thread_local PositionLock* held_ = nullptr;

  dev_t device_ = 0;
  ino_t inode_ = 0;
  bool locked_ = false;
  PositionLock* next_ = nullptr;
};

}  // namespace greenring::posix
