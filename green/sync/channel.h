// Go's channel: values handed from green thread to green thread, through a buffer or directly.
//
//   Channel<Job> jobs(16);                                  // capacity 0: each Send waits for its Receive
//   Go([&] { for (Job& job : jobs) job.Run(); });           // until closed and empty
//   jobs.Send(std::move(job));
//   jobs.Close();
//
// As in Go: values arrive in the order of their Sends; several green threads may send and several receive; what is
// buffered at Close can still be received. Unlike Go: sending to a closed channel is refused (kClosed) and the end of a
// wait by deadline or cancellation is a result. A value goes straight to a green thread that waits for one, without
// passing through the buffer, and is moved, never copied.
//
// T needs to be movable only. Nothing is allocated after the constructor. To wait for several channels see select.h.
// Scheduler's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "green/sync/wait_queue.h"

namespace greenring::green {

template <typename T, typename F>
class SendCase;
template <typename T, typename F>
class ReceiveCase;

template <typename T>
class Channel {
 public:
  explicit Channel(size_t capacity = 0)
      : capacity_(capacity), slots_(capacity > 0 ? std::allocator<T>().allocate(capacity) : nullptr) {}
  // Nobody may wait (checked). What is buffered is destroyed.
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Waits until `value` is in the buffer or with a receiver. False when the channel is closed, now or while waiting,
  // and when the wait was cancelled. Parks.
  bool Send(T value) { return SendUntil(std::move(value), kNeverNs) == WaitResult::kDone; }

  // kDone, kClosed, kTimedOut or kCancelled. `value` is moved from if and only if kDone. Parks.
  WaitResult SendUntil(T&& value, int64_t deadline_ns) {
    if (CanSend()) return SendNow(&value);
    SendWaiter waiter(&value);
    return ParkInLine(&senders_, &waiter, deadline_ns, "channel send");
  }

  // Sends if that needs no waiting. `value` is moved from if and only if true. Also from the loop's context. Never
  // parks.
  bool TrySend(T&& value) { return CanSend() && SendNow(&value) == WaitResult::kDone; }

  // Waits for a value. Nothing when the channel is closed and empty, and when the wait was cancelled. Parks.
  std::optional<T> Receive() {
    std::optional<T> value;
    ReceiveUntil(&value, kNeverNs);
    return value;
  }

  // kDone with the value, or kClosed, kTimedOut or kCancelled with none. Parks.
  WaitResult ReceiveUntil(std::optional<T>* value, int64_t deadline_ns) {
    value->reset();
    if (CanReceive()) return ReceiveNow(value);
    ReceiveWaiter waiter(value);
    return ParkInLine(&receivers_, &waiter, deadline_ns, "channel receive");
  }

  // Receives if that needs no waiting. Also from the loop's context. Never parks.
  std::optional<T> TryReceive() {
    std::optional<T> value;
    if (CanReceive()) ReceiveNow(&value);
    return value;
  }

  // Refuses values from now on and ends every wait. Once only (checked). Also from the loop's context. Never parks.
  void Close();

  bool closed() const { return closed_; }
  // Buffered values.
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }

  // for (T& value : channel): receives until there is nothing more, see Receive. begin and ++ park.
  class Iterator {
   public:
    explicit Iterator(Channel* channel) : channel_(channel), value_(channel->Receive()) {}
    T& operator*() { return *value_; }
    Iterator& operator++() {
      value_ = channel_->Receive();
      return *this;
    }
    bool operator==(std::default_sentinel_t) const { return !value_.has_value(); }

   private:
    Channel* const channel_;
    std::optional<T> value_;
  };
  Iterator begin() { return Iterator(this); }
  std::default_sentinel_t end() { return {}; }

 private:
  template <typename, typename>
  friend class SendCase;
  template <typename, typename>
  friend class ReceiveCase;

  // Senders wait only while the buffer is full, receivers only while it is empty.
  struct SendWaiter : Waiter {
    explicit SendWaiter(T* value) : value(value) {}
    T* const value;  // moved from by whoever answers kDone
  };
  struct ReceiveWaiter : Waiter {
    explicit ReceiveWaiter(std::optional<T>* value) : value(value) {}
    std::optional<T>* const value;  // filled by whoever answers kDone
  };

  bool CanSend() const { return closed_ || size_ < capacity_ || !receivers_.empty(); }
  bool CanReceive() const { return closed_ || size_ > 0 || !senders_.empty(); }
  WaitResult SendNow(T* value);                    // kDone or kClosed
  WaitResult ReceiveNow(std::optional<T>* value);  // kDone or kClosed

  void Push(T&& value);
  T* front() { return slots_ + head_; }
  void PopFront();

  const size_t capacity_;
  T* const slots_;  // a ring; raw memory but for the `size_` slots from `head_` on
  size_t head_ = 0;
  size_t size_ = 0;
  bool closed_ = false;
  IntrusiveList<SendWaiter> senders_;
  IntrusiveList<ReceiveWaiter> receivers_;
};

// ---- implementation -----------------------------------------------------------------------------------------------

template <typename T>
Channel<T>::~Channel() {
  while (size_ > 0) PopFront();
  if (slots_ != nullptr) std::allocator<T>().deallocate(slots_, capacity_);
}

template <typename T>
WaitResult Channel<T>::SendNow(T* value) {
  if (closed_) return WaitResult::kClosed;
  if (ReceiveWaiter* receiver = receivers_.front()) {
    receiver->value->emplace(std::move(*value));
    receiver->Answer(WaitResult::kDone);
  } else {
    Push(std::move(*value));
  }
  return WaitResult::kDone;
}

template <typename T>
WaitResult Channel<T>::ReceiveNow(std::optional<T>* value) {
  SendWaiter* sender = senders_.front();
  if (size_ > 0) {
    value->emplace(std::move(*front()));
    PopFront();
    if (sender != nullptr) Push(std::move(*sender->value));  // the longest waiting one takes the free slot
  } else if (sender != nullptr) {
    value->emplace(std::move(*sender->value));
  } else {
    return WaitResult::kClosed;
  }
  if (sender != nullptr) sender->Answer(WaitResult::kDone);
  return WaitResult::kDone;
}

template <typename T>
void Channel<T>::Close() {
  GREENRING_CHECK(!closed_ && "Channel closed twice");
  closed_ = true;
  while (SendWaiter* sender = senders_.front()) sender->Answer(WaitResult::kClosed);
  while (ReceiveWaiter* receiver = receivers_.front()) receiver->Answer(WaitResult::kClosed);
}

template <typename T>
void Channel<T>::Push(T&& value) {
  size_t slot = head_ + size_;
  if (slot >= capacity_) slot -= capacity_;
  std::construct_at(slots_ + slot, std::move(value));
  ++size_;
}

template <typename T>
void Channel<T>::PopFront() {
  std::destroy_at(front());
  if (++head_ == capacity_) head_ = 0;
  --size_;
}

}  // namespace greenring::green
