#include "ioloop/posix/poll_group.h"

#include <new>

namespace greenring::posix {

PollGroup::PollGroup(BlockingCall* call, const pollfd* asked, size_t count, Place* places)
    : call_(call), thread_(green::GreenThread::Current()), asked_(asked), count_(count), places_(places) {
  for (size_t i = 0; i < count; ++i) {
    Place& place = places[i];
    place.group_ = this;
    place.events_ = static_cast<uint16_t>(asked[i].events);
    place.closed_.reset();
    if (asked[i].fd < 0) continue;
    place.closed_.emplace(ParkingAddressOf(asked[i].fd));
  }
}

int32_t PollGroup::Ended() {
  if (const int32_t ended = call_->Ended(); ended != 0) return ended;
  for (size_t i = 0; i < count_; ++i) {
    if (places_[i].closed_.has_value() && places_[i].closed_->woken()) return -EBADF;
  }
  return 0;
}

int32_t PollGroup::Wait() {
  ioloop::Ring* const ring = call_->ring();
  for (size_t i = 0; i < count_; ++i) {
    if (asked_[i].fd < 0) continue;
    places_[i].in_flight_ = true;
    ++in_flight_;
    ring->PollAdd(asked_[i].fd, places_[i].events_, &places_[i]);
  }
  int32_t ended = ParkUntilOneIsOver();
  EndAll();
  if (is_ready_) return 0;  // what came first counts
  if (ended == -ECANCELED) ended = call_->OnCancelled();
  if (ended == 0) ended = call_->AwaitExactly(asked_, count_, this);
  // A descriptor that was closed is what the asking will tell.
  return ended == -EBADF || ended > 0 ? 0 : ended;
}

int32_t PollGroup::ParkUntilOneIsOver() {
  while (!is_ready_ && !is_distracted_) {
    if (const int32_t ended = Ended(); ended != 0) return ended;
    switch (call_->Park()) {
      case green::ParkResult::kUnparked:
        break;
      case green::ParkResult::kTimedOut:
        return -ETIMEDOUT;
      case green::ParkResult::kCancelled:
        return -ECANCELED;
    }
  }
  return 0;
}

void PollGroup::EndAll() {
  for (size_t i = 0; i < count_; ++i) {
    if (places_[i].in_flight_) call_->ring()->Cancel(&places_[i]);
  }
  while (in_flight_ > 0) thread_->scheduler()->ParkUncancellable();
}

void PollGroup::Place::OnComplete(int32_t result, uint32_t flags) {
  in_flight_ = false;
  --group_->in_flight_;
  if (result < 0) {
    group_->is_ready_ |= result != -ECANCELED;
  } else if (static_cast<uint32_t>(result) & (events_ | POLLERR | POLLHUP | POLLNVAL)) {
    group_->is_ready_ = true;
  } else {
    group_->is_distracted_ = true;
  }
  group_->thread_->scheduler()->Unpark(group_->thread_);
}

PollPlaces::PollPlaces(size_t count) : places_(few_) {
  if (count <= kFew) return;
  many_.reset(new (std::nothrow) PollGroup::Place[count]);
  places_ = many_.get();
}

}  // namespace greenring::posix
