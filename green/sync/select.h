// Waits for whichever of several sends and receives can happen first; exactly one does.
//
//   WaitResult result = Select(
//       OnReceive(&jobs, [&](std::optional<Job> job) { ... }),        // nothing: `jobs` is closed and empty
//       OnSend(&results, std::move(report), [&](bool sent) { ... }),  // false: `results` is closed
//       OnDeadline(deadline_ns, [&] { ... }));                        // or Otherwise([&] { ... }): does not wait
//
// Among cases that can happen at once each has the same chance, so that a busy channel does not shut out the others. A
// closed channel is always ready. A case whose channel is nullptr never is: that is how to switch one off. The function
// of the case that happened runs after the Select has left all channels, on the caller's green thread; it may park.
// What an OnSend that did not happen would have sent is destroyed. Nothing is allocated. Scheduler's thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/clock.h"
#include "green/sync/channel.h"
#include "green/sync/wait_queue.h"

namespace greenring::green {

// One send or receive of a Select.
class SelectCase {
 public:
  SelectCase(const SelectCase&) = delete;
  SelectCase& operator=(const SelectCase&) = delete;

 protected:
  explicit SelectCase(Waiter* waiter) : waiter_(waiter) {}
  ~SelectCase() = default;

 private:
  friend class Selection;

  virtual bool CanHappen() const = 0;
  virtual void Happen() = 0;              // it can
  virtual void StandInLine() = 0;         // it can not
  virtual void Answered(WaitResult) = 0;  // kDone or kClosed

  Waiter* const waiter_;
  SelectCase* next_ = nullptr;
};

// What the clauses of one Select make up together.
class Selection {
 public:
  void Add(SelectCase* added);
  void SetDeadline(int64_t deadline_ns);  // at most one (checked)
  void SetOtherwise() { has_otherwise_ = true; }

  // Makes one case happen. Parks, unless there is an Otherwise.
  void Run();

  const SelectCase* happened() const { return happened_; }  // nullptr: none
  WaitResult result() const { return result_; }
  bool took_otherwise() const { return has_otherwise_ && happened_ == nullptr; }

 private:
  SelectCase* PickReady() const;

  SelectCase* first_ = nullptr;
  int64_t deadline_ns_ = kNeverNs;
  bool has_otherwise_ = false;
  SelectCase* happened_ = nullptr;
  WaitResult result_ = WaitResult::kDone;
};

template <typename T, typename F>
class ReceiveCase final : public SelectCase {
 public:
  ReceiveCase(Channel<T>* channel, F function)
      : SelectCase(&waiter_), channel_(channel), function_(std::move(function)), waiter_(&value_) {}

  void Join(Selection* selection) { selection->Add(this); }
  void Conclude(const Selection& selection) {
    if (selection.happened() == this) function_(std::move(value_));
  }

 private:
  bool CanHappen() const override { return channel_ != nullptr && channel_->CanReceive(); }
  void Happen() override { channel_->ReceiveNow(&value_); }
  void StandInLine() override {
    if (channel_ != nullptr) channel_->receivers_.PushBack(&waiter_);
  }
  void Answered(WaitResult) override {}  // the value is there, or not

  Channel<T>* const channel_;
  F function_;
  std::optional<T> value_;
  typename Channel<T>::ReceiveWaiter waiter_;
};

template <typename T, typename F>
class SendCase final : public SelectCase {
 public:
  SendCase(Channel<T>* channel, T value, F function)
      : SelectCase(&waiter_),
        channel_(channel),
        value_(std::move(value)),
        function_(std::move(function)),
        waiter_(&value_) {}

  void Join(Selection* selection) { selection->Add(this); }
  void Conclude(const Selection& selection) {
    if (selection.happened() == this) function_(result_ == WaitResult::kDone);
  }

 private:
  bool CanHappen() const override { return channel_ != nullptr && channel_->CanSend(); }
  void Happen() override { result_ = channel_->SendNow(&value_); }
  void StandInLine() override {
    if (channel_ != nullptr) channel_->senders_.PushBack(&waiter_);
  }
  void Answered(WaitResult result) override { result_ = result; }

  Channel<T>* const channel_;
  T value_;
  F function_;
  WaitResult result_ = WaitResult::kDone;
  typename Channel<T>::SendWaiter waiter_;
};

template <typename F>
class DeadlineClause {
 public:
  DeadlineClause(int64_t deadline_ns, F function) : deadline_ns_(deadline_ns), function_(std::move(function)) {}

  void Join(Selection* selection) { selection->SetDeadline(deadline_ns_); }
  void Conclude(const Selection& selection) {
    if (selection.result() == WaitResult::kTimedOut) function_();
  }

 private:
  const int64_t deadline_ns_;
  F function_;
};

template <typename F>
class OtherwiseClause {
 public:
  explicit OtherwiseClause(F function) : function_(std::move(function)) {}

  void Join(Selection* selection) { selection->SetOtherwise(); }
  void Conclude(const Selection& selection) {
    if (selection.took_otherwise()) function_();
  }

 private:
  F function_;
};

// `function` takes std::optional<T>.
template <typename T, typename F>
ReceiveCase<T, std::decay_t<F>> OnReceive(Channel<T>* channel, F&& function) {
  return {channel, std::forward<F>(function)};
}

// `function` takes bool: whether `value` was sent.
template <typename T, typename F>
SendCase<T, std::decay_t<F>> OnSend(Channel<T>* channel, std::type_identity_t<T> value, F&& function) {
  return {channel, std::move(value), std::forward<F>(function)};
}

// `function` takes nothing. A deadline that has passed already lets cases that are ready go first.
template <typename F>
DeadlineClause<std::decay_t<F>> OnDeadline(int64_t deadline_ns, F&& function) {
  return {deadline_ns, std::forward<F>(function)};
}

// `function` takes nothing; it runs when no case can happen at once.
template <typename F>
OtherwiseClause<std::decay_t<F>> Otherwise(F&& function) {
  return OtherwiseClause<std::decay_t<F>>(std::forward<F>(function));
}

// kDone: a case happened, or Otherwise. kTimedOut: OnDeadline. kCancelled: nothing happened and no function was called.
// Parks, unless there is an Otherwise.
template <typename... Clauses>
WaitResult Select(Clauses&&... clauses) {
  Selection selection;
  (clauses.Join(&selection), ...);
  selection.Run();
  (clauses.Conclude(selection), ...);
  return selection.result();
}

}  // namespace greenring::green
