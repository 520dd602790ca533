#include "ioloop/posix/position_lock.h"

#include "base/check.h"
#include "green/parking_lot.h"

namespace greenring::posix {
namespace {

// Where all wait: two that wait at the same time are rare, so a wake too many costs nothing.
constinit thread_local char line = 0;

}  // namespace

PositionLock::~PositionLock() {
  if (!locked_) return;
  PositionLock** link = &held_;
  while (*link != this) link = &(*link)->next_;
  *link = next_;
  green::ParkingLot::WakeAll(&line);
}

bool PositionLock::HeldByAnother() const {
  for (const PositionLock* lock = held_; lock != nullptr; lock = lock->next_) {
    if (lock->inode_ == inode_ && lock->device_ == device_) return true;
  }
  return false;
}

bool PositionLock::Acquire(const struct stat& file) {
  GREENRING_CHECK(!locked_);
  device_ = file.st_dev;
  inode_ = file.st_ino;
  if (HeldByAnother()) {
    green::ParkingLot::Waiter waiter(&line);
    while (HeldByAnother()) {
      if (waiter.Wait() != green::ParkResult::kUnparked) return false;
    }
  }
  locked_ = true;
  next_ = held_;
  held_ = this;
  return true;
}

}  // namespace greenring::posix
