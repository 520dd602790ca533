// greenring.timeout where CPython really waits. (What it does by the clock alone: pyhost/module/timeout_test.cc.)
#include <string>

#include "gtest/gtest.h"
#include "worker/interrupt_world.h"

namespace greenring::pyhost {
namespace {

class TimeoutTest : public ::testing::Test {
 protected:
  TimeoutTest() { world_.Execute("import errno, greenring, os, queue, socket, threading, time\n"); }

  void Run(const std::string& source) {
    world_.Go(source);
    world_.RunAll();
  }

  InterruptWorld world_;
};

TEST_F(TimeoutTest, EndsAWaitALoopAndALock) {
  Run(R"(
def spin():
    while True: pass
lock = threading.Lock()
lock.acquire()
for block in lambda: time.sleep(10), spin, lock.acquire, queue.Queue().get:
    start = time.monotonic()
    try:
        with greenring.timeout(0.02) as t:
            block()
        assert False
    except greenring.RequestTimeout as error:
        assert error.timeout is t and error.seconds == 0.02, (error.timeout, error.seconds)
        assert str(error) == "it took more than 0.02 s"
    assert t.expired and t.remaining == 0
    assert 0.02 <= time.monotonic() - start < 5
    time.sleep(0.001)
)");
}

TEST_F(TimeoutTest, TheInnerOneLeavesTheOuterOneRunning) {
  Run(R"(
caught = []
start = time.monotonic()
try:
    with greenring.timeout(0.1) as outer:
        try:
            with greenring.timeout(0.02) as inner:
                time.sleep(10)
        except greenring.RequestTimeout as error:
            assert error.timeout is inner
            caught.append("inner")
        time.sleep(10)
except greenring.RequestTimeout as error:
    assert error.timeout is outer
    caught.append("outer")
assert caught == ["inner", "outer"]
assert 0.1 <= time.monotonic() - start < 5
)");
}

TEST_F(TimeoutTest, TheOuterOneEndsTheInnerBlock) {
  Run(R"(
try:
    with greenring.timeout(0.02) as outer:
        with greenring.timeout(10) as inner:
            time.sleep(10)
    assert False
except greenring.RequestTimeout as error:
    assert error.timeout is outer
assert outer.expired and not inner.expired
)");
}

TEST_F(TimeoutTest, WorksInThreadsThatPythonStarted) {
  Run(R"(
results = []
def work():
    for _ in range(2):
        try:
            with greenring.timeout(0.01):
                time.sleep(10)
        except greenring.RequestTimeout:
            results.append(threading.get_ident() == threading.current_thread().ident)
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert results == [True, True]
)");
}

TEST_F(TimeoutTest, ADriversErrorIsItsCause) {
  Run(R"(
a, b = socket.socketpair()
try:
    with greenring.timeout(0.02):
        raise OSError(patient_poll(a.fileno()), "the driver's")
    assert False
except greenring.RequestTimeout as error:
    assert error.__cause__.errno == errno.ECANCELED, error.__cause__
time.sleep(0.001)
)");
}

TEST_F(TimeoutTest, AThousandTimeoutsThatDoNotExpireLeaveNothing) {
  Run(R"(
for _ in range(1000):
    with greenring.timeout(0.05): pass
time.sleep(0.1)
def spin():
    end = time.monotonic() + 0.05
    while time.monotonic() < end: pass
spin()
)");
}

}  // namespace
}  // namespace greenring::pyhost
