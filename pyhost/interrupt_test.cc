// What there is to see without calls that wait in CPython. (Those: worker/interrupt_test.cc.)
#include "pyhost/interrupt.h"

#include <errno.h>

#include <string>

#include "base/clock.h"
#include "green/scheduler.h"
#include "pyhost/gil.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

class Cancellation final : public Interrupt {
 public:
  explicit Cancellation(const char* reason = "cancelled") : reason_(reason) {}
  int raised() const { return raised_; }

 private:
  PyObject* NewException() override { return InterruptErrors::NewCancelled(reason_); }
  void OnRaised() override { ++raised_; }

  const char* const reason_;
  int raised_ = 0;
};

class InterruptTest : public PythonTest {
 protected:
  // The Python error that is set, which is cleared: str() of it.
  static std::string TakeError() {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    const PyRef owned_type(type), owned_value(value), owned_traceback(traceback);
    const PyRef text(value != nullptr ? PyObject_Str(value) : nullptr);
    return text ? ToUtf8(text.get()) : "";
  }

  green::ParkResult ParkFor(int64_t duration_ns) { return scheduler_.Park(clock_.NowNs() + duration_ns); }
};

constexpr int64_t kSecondNs = kNanosecondsPerSecond;

TEST_F(InterruptTest, EndsAParkAndIsRaisedThereOnce) {
  Cancellation cancellation;
  Interruptible* waiter = nullptr;
  RunGreen({[&] {
              waiter = Interruptible::Current();
              EXPECT_EQ(ParkFor(kSecondNs), green::ParkResult::kCancelled);
              EXPECT_TRUE(waiter->RaisePending());
              EXPECT_TRUE(PyErr_ExceptionMatches(InterruptErrors::Cancelled()));
              EXPECT_EQ(TakeError(), "cancelled");
              EXPECT_FALSE(waiter->RaisePending());
              EXPECT_EQ(ParkFor(kSecondNs), green::ParkResult::kTimedOut) << "clean-up may wait";
            },
            [&] { waiter->Post(&cancellation); }});
  EXPECT_EQ(cancellation.state(), Interrupt::State::kRaised);
  EXPECT_EQ(cancellation.raised(), 1);
}

TEST_F(InterruptTest, SeveralAreRaisedInTheirOrderEachEndingAWait) {
  Cancellation first("first"), second("second");
  Interruptible* waiter = nullptr;
  RunGreen({[&] {
              waiter = Interruptible::Current();
              for (const char* reason : {"first", "second"}) {
                EXPECT_EQ(ParkFor(kSecondNs), green::ParkResult::kCancelled);
                EXPECT_TRUE(waiter->RaisePending());
                EXPECT_EQ(TakeError(), reason);
              }
              EXPECT_EQ(ParkFor(kSecondNs), green::ParkResult::kTimedOut);
            },
            [&] {
              waiter->Post(&first);
              waiter->Post(&second);
            }});
}

TEST_F(InterruptTest, WhatIsWithdrawnEndsNoWaitAndMayBePostedAgain) {
  Cancellation cancellation;
  Interruptible* waiter = nullptr;
  RunGreen({[&] {
              waiter = Interruptible::Current();
              EXPECT_EQ(ParkFor(kSecondNs), green::ParkResult::kUnparked) << "it was on its way already";
              EXPECT_FALSE(waiter->RaisePending());
              EXPECT_EQ(ParkFor(kSecondNs), green::ParkResult::kTimedOut);
              waiter->Post(&cancellation);
              EXPECT_EQ(ParkFor(kSecondNs), green::ParkResult::kCancelled);
              EXPECT_TRUE(waiter->RaisePending());
              TakeError();
              cancellation.Rearm();
              EXPECT_EQ(cancellation.state(), Interrupt::State::kIdle);
            },
            [&] {
              waiter->Post(&cancellation);
              waiter->Withdraw(&cancellation);
            }});
  EXPECT_EQ(cancellation.raised(), 1);
}

TEST_F(InterruptTest, WhatIsNotHeededIsRepeatedAfterAWhile) {
  Cancellation cancellation;
  RunGreen({[&] {
    Interruptible::Current()->Post(&cancellation);
    const int64_t start_ns = clock_.NowNs();
    for (int i = 1; i <= 3; ++i) {
      scheduler_.ClearCancel();  // as for a library that makes an error of its own of it
      EXPECT_EQ(ParkFor(kSecondNs), green::ParkResult::kCancelled);
      EXPECT_EQ(clock_.NowNs() - start_ns, i * Interruptible::kInsistNs);
    }
    EXPECT_TRUE(Interruptible::Current()->RaisePending());
    TakeError();
    EXPECT_EQ(ParkFor(kSecondNs), green::ParkResult::kTimedOut);
  }});
}

TEST_F(InterruptTest, AResetLeavesNothing) {
  struct Bound : Interruptible::Dependent {
    void OnCutLoose() override { cut_loose = true; }
    void OnLost() override { ADD_FAILURE(); }
    bool cut_loose = false;
  };
  Cancellation cancellation;
  Bound bound, unlinked;
  RunGreen({[&] {
    Interruptible* const self = Interruptible::Current();
    self->Post(&cancellation);
    self->Bind(&bound);
    self->Bind(&unlinked);
    unlinked.Unlink();
    self->Reset();
    EXPECT_FALSE(self->pending());
    EXPECT_EQ(ParkFor(kSecondNs), green::ParkResult::kTimedOut);
  }});
  EXPECT_TRUE(bound.cut_loose);
  EXPECT_FALSE(unlinked.cut_loose);
  EXPECT_EQ(cancellation.state(), Interrupt::State::kIdle);
}

TEST_F(InterruptTest, TheEndOfAGreenThreadWithdrawsWhatItHasNotSeen) {
  Cancellation cancellation;
  RunGreen({[&] { Interruptible::Current()->Post(&cancellation); }});
  EXPECT_EQ(cancellation.state(), Interrupt::State::kIdle);
  EXPECT_EQ(cancellation.raised(), 0);
}

TEST_F(InterruptTest, TheHostAnswersForWaitsOnlyWhatItCanRaise) {
  RunGreen({[&] {
    EXPECT_FALSE(Interruptible::IsUnheeded());
    scheduler_.Cancel(green::GreenThread::Current());
    EXPECT_EQ(Interruptible::OnCancelled(/*may_fail=*/true), ECANCELED) << "a cancellation without an Interrupt";
    EXPECT_EQ(Interruptible::OnCancelled(/*may_fail=*/false), 0);
    scheduler_.ClearCancel();
    EXPECT_EQ(Interruptible::OnCancelled(/*may_fail=*/true), EINTR) << "withdrawn meanwhile: try again";
  }});
}

TEST_F(InterruptTest, WhatACLibraryMadeOfItHasTimeToUnwind) {
  Cancellation cancellation;
  RunGreen({[&] {
    Interruptible::Current()->Post(&cancellation);
    const int64_t start_ns = clock_.NowNs();
    EXPECT_EQ(Interruptible::OnCancelled(/*may_fail=*/true), ECANCELED);
    EXPECT_EQ(ParkFor(2 * Interruptible::kCleanUpNs), green::ParkResult::kCancelled);
    EXPECT_EQ(clock_.NowNs() - start_ns, Interruptible::kCleanUpNs);
    EXPECT_TRUE(Interruptible::Current()->RaisePending());
    TakeError();
  }});
}

TEST_F(InterruptTest, OneGetsItsPlaceAtItsFirstUse) {
  Cancellation cancellation;
  EXPECT_EQ(Interruptible::CurrentOrNew(), nullptr) << "no green thread";
  scheduler_.Spawn([&] {
    PyGILState_STATE state = PyGILState_Ensure();  // as a thread that a C library started
    EXPECT_EQ(Interruptible::Current(), nullptr);
    Interruptible* const self = Interruptible::CurrentOrNew();
    EXPECT_EQ(Interruptible::Current(), self);
    EXPECT_EQ(Interruptible::CurrentOrNew(), self);
    self->Post(&cancellation);
    PyGILState_Release(state);
    scheduler_.Stop();
  });
  ScopedGilRelease release;
  scheduler_.Run(&poller_);
  EXPECT_EQ(cancellation.state(), Interrupt::State::kIdle) << "its green thread has ended";
}

}  // namespace
}  // namespace greenring::pyhost
