// uWSGI's signals, locks and decorators, with a master that is made up.
#include "gmock/gmock.h"
#include "pyhost/uwsgi/uwsgi_fixture.h"

namespace greenring::pyhost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class SignalsTest : public UwsgiTest {
 protected:
  void SetUp() override {
    UwsgiTest::SetUp();
    host_.asked = absl::OkStatus();
    Execute(R"(
def error(function, *arguments):
    try: return function(*arguments)
    except BaseException as error: return '%s: %s' % (type(error).__name__, error)
)");
  }
};

TEST_F(SignalsTest, TheMasterIsToldInItsUnits) {
  Execute(R"(
assert uwsgi.register_signal(17, 'workers', print) is None
assert uwsgi.signal(17) is None
assert uwsgi.add_timer(17, 2) is None
uwsgi.add_timer(17, 0.25)
uwsgi.add_ms_timer(17, 1.5)
uwsgi.add_rb_timer(17, 3)
uwsgi.add_rb_timer(17, 3, 4)
assert uwsgi.add_cron(17, -5, 2, -1, -1, 7) is True
uwsgi.add_file_monitor(17, '/srv/reload')
)");
  EXPECT_THAT(host_.said, ElementsAre("register 17 workers", "send 17", "timer 17 2000000000 0", "timer 17 250000000 0",
                                      "timer 17 1500000 0", "timer 17 3000000000 0 rb", "timer 17 3000000000 4 rb",
                                      "cron 17 -5 2 -1 -1 7", "file 17 /srv/reload"));
}

TEST_F(SignalsTest, WrongArgumentsDoNotReachTheMaster) {
  EXPECT_EQ(Evaluate("error(uwsgi.register_signal, 256, '', print)"),
            "ValueError: a signal is a number from 0 to 255, not 256");
  EXPECT_THAT(Evaluate("error(uwsgi.register_signal, -1, '', print)"), StartsWith("ValueError"));
  EXPECT_THAT(Evaluate("error(uwsgi.signal_wait, 256)"), StartsWith("ValueError"));
  EXPECT_THAT(Evaluate("error(uwsgi.signal, '1')"), StartsWith("TypeError"));
  EXPECT_THAT(Evaluate("error(uwsgi.register_signal, 1, '', 5)"), StartsWith("TypeError"));
  EXPECT_THAT(Evaluate("error(uwsgi.add_timer, 1, 0)"), StartsWith("ValueError"));
  EXPECT_THAT(Evaluate("error(uwsgi.add_timer, 1, float('nan'))"), StartsWith("ValueError"));
  EXPECT_THAT(Evaluate("error(uwsgi.add_rb_timer, 1, -3.0)"), StartsWith("ValueError"));
  EXPECT_THAT(Evaluate("error(uwsgi.add_cron, 1, 2)"), StartsWith("TypeError"));
  EXPECT_THAT(Evaluate("error(uwsgi.signal, 1, '127.0.0.1:3031')"), StartsWith("NotImplementedError"));
  EXPECT_THAT(Evaluate("error(uwsgi.lock, 256)"), StartsWith("ValueError"));
  EXPECT_THAT(Evaluate("error(uwsgi.is_locked, -1)"), StartsWith("ValueError"));
  EXPECT_TRUE(host_.said.empty());
}

TEST_F(SignalsTest, WhatTheMasterRefusesIsAValueError) {
  host_.asked = absl::InvalidArgumentError("there is no target");
  EXPECT_EQ(Evaluate("error(uwsgi.register_signal, 99, 'mules', print)"),
            "ValueError: register_signal(): there is no target");
  EXPECT_EQ(Evaluate("uwsgi.signal_registered(99)"), "None");
  EXPECT_EQ(Evaluate("error(uwsgi.add_timer, 99, 1)"), "ValueError: add_timer(): there is no target");
}

TEST_F(SignalsTest, ASignalThatNobodyHasIsALineInTheLog) {
  host_.asked = absl::NotFoundError("nobody has registered signal 98");
  EXPECT_EQ(Evaluate("uwsgi.signal(98)"), "None");
  EXPECT_THAT(host_.lines, ElementsAre("uwsgi.signal(98) has no effect: nobody has registered signal 98"));
}

TEST_F(SignalsTest, RegisteredIsWhatThisProcessHasRegistered) {
  EXPECT_EQ(Evaluate("uwsgi.signal_registered(50)"), "None");
  Execute("uwsgi.register_signal(50, '', print)");
  EXPECT_EQ(Evaluate("uwsgi.signal_registered(50)"), "True");
  EXPECT_EQ(Evaluate("uwsgi.signal_received()"), "-1");
}

TEST_F(SignalsTest, Locks) {
  Execute(R"(
assert uwsgi.lock() is None and uwsgi.unlock() is None
uwsgi.lock(3)
assert uwsgi.is_locked(1) is True and uwsgi.is_locked() is False
)");
  EXPECT_THAT(host_.said, ElementsAre("lock 0", "unlock 0", "lock 3"));
  host_.asked = absl::FailedPreconditionError("nobody holds lock 3");
  EXPECT_EQ(Evaluate("uwsgi.unlock(3)"), "None");
  EXPECT_THAT(host_.lines, ElementsAre("uwsgi.unlock(3) has no effect: nobody holds lock 3"));
  host_.asked = absl::UnavailableError("the master has gone");
  EXPECT_EQ(Evaluate("error(uwsgi.lock)"), "RuntimeError: the master has gone");
}

TEST_F(SignalsTest, DecoratorsAskForASignalByTheNameOfTheFunction) {
  Execute(R"(
import uwsgidecorators
__name__ = 'shop'
@uwsgidecorators.timer(2, target='workers')
def clean(number): pass
@uwsgidecorators.rbtimer(1, 5)
def clean(number): pass
@uwsgidecorators.mstimer(30, signum=7)
def often(number): pass
@uwsgidecorators.cron(30, 2, -1, -1, -1)
def nightly(number): pass
@uwsgidecorators.filemon('/srv/a')
def changed(number): pass
@uwsgidecorators.signal(9, target='worker2')
def told(number): pass
assert callable(clean) and callable(told)
)");
  EXPECT_THAT(host_.said, ElementsAre("shop:clean #1", "register 41 workers", "timer 41 2000000000 0", "shop:clean #2",
                                      "register 44", "timer 44 1000000000 5 rb", "register 7", "timer 7 30000000 0",
                                      "shop:nightly #1", "register 49", "cron 49 30 2 -1 -1 -1", "shop:changed #1",
                                      "register 52", "file 52 /srv/a", "register 9 worker2"));
}

TEST_F(SignalsTest, DecoratorsOfFunctions) {
  Execute(R"(
import uwsgidecorators
@uwsgidecorators.lock
def locked(a, b=2): return a + b
assert locked(1, b=3) == 4 and locked.__name__ == 'locked'
@uwsgidecorators.lock
def fails(): raise KeyError('x')
assert error(fails).startswith('KeyError')
done = []
@uwsgidecorators.thread
def background(value): done.append(value)
background(5).join()
assert done == [5]
)");
  EXPECT_THAT(host_.said, ElementsAre("lock 0", "unlock 0", "lock 0", "unlock 0"));
  EXPECT_THAT(Evaluate("error(uwsgidecorators.spool, print)"), HasSubstr("greenring.go()"));
  EXPECT_THAT(Evaluate("error(uwsgidecorators.mulefunc, print)"), StartsWith("NotImplementedError"));
}

}  // namespace
}  // namespace greenring::pyhost
