// Interrupts on a real loop, in real calls of CPython: as in a worker.
#include "pyhost/interrupt.h"

#include <string>

#include "gtest/gtest.h"
#include "worker/interrupt_world.h"

namespace greenring::pyhost {
namespace {

// What each test starts with. `interrupted(wait)` runs `wait`, is interrupted in it, and says how long that took;
// afterwards waits wait again and the green thread is who it was.
constexpr char kPrelude[] = R"(
import ctypes, errno, os, queue, select, socket, ssl, subprocess, sys, threading, time

def interrupted(wait, after=0.02):
    me = threading.get_ident()
    start = time.monotonic()
    number = interrupt_in(after)
    try:
        wait()
    except greenring.Cancelled as error:
        assert error.reason == "cancelled" and error.args == ("cancelled",), error.args
    else:
        assert False, "nothing was raised"
    assert threading.get_ident() == me
    assert raised(number) == 1
    took = time.monotonic() - start
    assert after <= took < 5, took
    start = time.monotonic()
    time.sleep(0.003)
    assert time.monotonic() - start >= 0.003, "waits do not wait any more"
    assert threading.get_ident() == me
    return took
)";

class InterruptTest : public ::testing::Test {
 protected:
  InterruptTest() { world_.Execute(kPrelude); }

  void Run(const std::string& source) {
    world_.Go(source);
    world_.RunAll();
  }

  InterruptWorld world_;
};

// ---- where CPython waits -------------------------------------------------------------------------------------------

struct Wait {
  const char* name;
  const char* prepare;  // statements
  const char* wait;     // an expression
};

const Wait kWaits[] = {
    {"Sleep", "", "time.sleep(10)"},
    {"SocketRecv", "a, b = socket.socketpair()", "a.recv(1)"},
    {"SocketRecvWithTimeout", "a, b = socket.socketpair(); a.settimeout(10)", "a.recv(1)"},
    {"SocketRecvInto", "a, b = socket.socketpair()", "a.recv_into(bytearray(4))"},
    {"SocketSendAll", "a, b = socket.socketpair()", "a.sendall(bytes(1 << 24))"},
    {"SocketAccept", "s = socket.create_server(('127.0.0.1', 0))", "s.accept()"},
    {"SocketConnect",
     "s = socket.socket(socket.AF_UNIX); s.bind('\\0greenring-%d' % os.getpid()); s.listen(0)\n"
     "first = socket.socket(socket.AF_UNIX); first.connect(s.getsockname())\n"
     "late = socket.socket(socket.AF_UNIX)",
     "late.connect(s.getsockname())"},
    {"SocketFile", "a, b = socket.socketpair(); f = a.makefile('rb')", "f.readline()"},
    {"Select", "a, b = socket.socketpair()", "select.select([a], [], [], 10)"},
    {"SelectWithoutDescriptors", "", "select.select([], [], [], 10)"},
    {"Poll", "a, b = socket.socketpair(); p = select.poll(); p.register(a, select.POLLIN)", "p.poll(10000)"},
    {"Epoll", "a, b = socket.socketpair(); p = select.epoll(); p.register(a, select.EPOLLIN)", "p.poll(10)"},
    {"LockAcquire", "lock = threading.Lock(); lock.acquire()", "lock.acquire()"},
    {"LockAcquireWithTimeout", "lock = threading.Lock(); lock.acquire()", "lock.acquire(timeout=10)"},
    {"ConditionWait", "condition = threading.Condition()", "condition.__enter__() and condition.wait()"},
    {"EventWait", "event = threading.Event()", "event.wait()"},
    {"EventWaitWithTimeout", "event = threading.Event()", "event.wait(10)"},
    {"SemaphoreAcquire", "semaphore = threading.Semaphore(0)", "semaphore.acquire()"},
    {"QueueGet", "q = queue.Queue()", "q.get()"},
    {"QueueGetWithTimeout", "q = queue.Queue()", "q.get(timeout=10)"},
    {"SimpleQueueGet", "q = queue.SimpleQueue()", "q.get()"},
    {"PipeRead", "r, w = os.pipe()", "os.read(r, 1)"},
    {"PipeFileRead", "r, w = os.pipe(); f = open(r, 'rb')", "f.read(1)"},
    {"PipeWrite", "r, w = os.pipe()", "os.write(w, bytes(1 << 20)) and os.write(w, bytes(1 << 20))"},
    {"WaitPid", "child = subprocess.Popen(['sleep', '10'])", "os.waitpid(child.pid, 0)"},
    {"SubprocessWait", "child = subprocess.Popen(['sleep', '10'])", "child.wait()"},
    {"SubprocessCommunicate", "child = subprocess.Popen(['sleep', '10'], stdout=subprocess.PIPE)",
     "child.communicate()"},
    {"ThreadJoin", "thread = threading.Thread(target=time.sleep, args=(0.3,)); thread.start()", "thread.join()"},
    {"Signal", "import signal", "signal.sigtimedwait([signal.SIGUSR2], 10)"},
};

class InterruptedWaitTest : public InterruptTest, public ::testing::WithParamInterface<Wait> {};

TEST_P(InterruptedWaitTest, RaisesWhereItWaitsAndWaitsAgainAfterwards) {
  const Wait& wait = GetParam();
  Run(std::string(wait.prepare) + "\ninterrupted(lambda: " + wait.wait +
      ")\n"
      "if 'child' in globals(): child.kill(); child.wait()\n"
      "if 'thread' in globals(): thread.join()\n");
}

INSTANTIATE_TEST_SUITE_P(All, InterruptedWaitTest, ::testing::ValuesIn(kWaits),
                         [](const auto& parameter) { return parameter.param.name; });

TEST_F(InterruptTest, TlsReadIsInterrupted) {
  Run(R"(
import tempfile
directory = tempfile.mkdtemp()
certificate = os.path.join(directory, "certificate")
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                "1", "-subj", "/CN=test", "-keyout", certificate + ".key", "-out", certificate],
               check=True, stderr=subprocess.DEVNULL)
served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
served.load_cert_chain(certificate, certificate + ".key")
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname = False
client.verify_mode = ssl.CERT_NONE
for timeout in None, 10:
    a, b = socket.socketpair()
    a.settimeout(timeout)
    thread = threading.Thread(target=lambda: kept.append(served.wrap_socket(b, server_side=True)))
    kept = []
    thread.start()
    tls = client.wrap_socket(a)
    thread.join()
    interrupted(lambda: tls.recv(10))
    kept[0].send(b"later")
    assert tls.recv(10) == b"later"
)");
}

// ---- who does not look at signals ----------------------------------------------------------------------------------

TEST_F(InterruptTest, ALibraryThatTriesAgainAfterEintrGetsEcanceled) {
  Run(R"(
a, b = socket.socketpair()
me = threading.get_ident()
start = time.monotonic()
number = interrupt_in(0.02)
assert patient_poll(a.fileno()) == errno.ECANCELED
assert threading.get_ident() == me
assert time.monotonic() - start < 5
withdraw(number)
assert raised(number) == 0
)");
}

TEST_F(InterruptTest, ALibraryThatGivesUpAtEintrHasItRaisedBehindIt) {
  Run(R"(
a, b = socket.socketpair()
class PollFd(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]
polled = PollFd(a.fileno(), select.POLLIN, 0)
libc = ctypes.CDLL(None)
interrupted(lambda: libc.poll(ctypes.byref(polled), 1, 10000))
)");
}

TEST_F(InterruptTest, WhoGoesOnAfterEcanceledHasItRaisedAfterAWhile) {
  Run(R"(
a, b = socket.socketpair()
def stubborn():
    while True: patient_poll(a.fileno())
assert interrupted(stubborn) >= 0.1
)");
}

TEST_F(InterruptTest, CodeThatTriesAgainGetsAnErrorAndThenTheException) {
  // system(3) goes on after EINTR, ends the child after ECANCELED, and tells nobody.
  Run(R"(
interrupted(lambda: (os.system("sleep 10"), time.sleep(10)))
)");
}

TEST_F(InterruptTest, AnErrorOfTheLibrarysOwnUnwindsBeforeTheExceptionIsRaised) {
  // sigwait(3) goes on after EINTR.
  Run(R"(
import signal
number = interrupt_in(0.02)
try:
    signal.sigwait([signal.SIGUSR2])
    assert False
except OSError as error:
    assert error.errno == errno.ECANCELED, error
    time.sleep(0.01)         # clean-up may wait
assert pending(number) and raised(number) == 0
try:
    time.sleep(10)
    assert False
except greenring.Cancelled:
    pass
assert raised(number) == 1
)");
}

TEST_F(InterruptTest, AWaitThatNothingMayEndRaisesWhenItIsOver) {
  // A lock that CPython takes for itself: it is not to fail, and does not.
  Run(R"(
r, w = os.pipe()
reader = open(r, "rb")
order = []
def read():
    order.append(reader.read(1))
thread = threading.Thread(target=read)
thread.start()
time.sleep(0.01)             # the other one has the reader's lock, and waits for the pipe
def release():
    time.sleep(0.3)
    os.write(w, b"ab")
other = threading.Thread(target=release)
other.start()
number = interrupt_in(0.02)
start = time.monotonic()
try:
    order.append(reader.read(1))
    while True: pass
except greenring.Cancelled:
    pass
assert time.monotonic() - start >= 0.25
assert raised(number) == 1
thread.join()
other.join()
os.write(w, b"c")
assert reader.read(1) in b"abc", "the reader has a wrong owner"
)");
}

// ---- code that runs ------------------------------------------------------------------------------------------------

TEST_F(InterruptTest, ALoopThatComputesIsInterrupted) {
  Run(R"(
def spin():
    while True: pass
interrupted(spin)
)");
}

TEST_F(InterruptTest, TheExceptionOfALoopHasItsAttributesAlsoWhereAnErrorIsBeingHandled) {
  Run(R"(
def spin():
    try:
        1 / 0
    except ZeroDivisionError:
        while True: pass
interrupted(spin)
)");
}

TEST_F(InterruptTest, NeighboursOfALoopSeeNothing) {
  world_.Go("def spin():\n    while True: pass\ninterrupted(spin, 0.1)\ndone = True\n");
  world_.Go(R"(
done = False
while not done:
    time.sleep(0.001)
    me = threading.get_ident()
)");
  world_.RunAll();
}

TEST_F(InterruptTest, TwoLoopsAreBothInterrupted) {
  for (int i = 0; i < 2; ++i) world_.Go("def spin():\n    while True: pass\ninterrupted(spin)\n");
  world_.RunAll();
}

TEST_F(InterruptTest, AGeneratorIsInterruptedAndItsFinallyRuns) {
  Run(R"(
ended = []
def chunks():
    try:
        while True:
            yield b"."
            time.sleep(0.001)
    finally:
        time.sleep(0.001)
        ended.append(True)
def consume():
    for chunk in chunks(): pass
interrupted(consume)
assert ended == [True]
)");
}

TEST_F(InterruptTest, ExceptExceptionDoesNotSwallowIt) {
  Run(R"(
def stubborn():
    while True:
        try:
            time.sleep(0.005)
        except Exception:
            pass
interrupted(stubborn)
)");
}

TEST_F(InterruptTest, CleanUpMayWait) {
  Run(R"(
a, b = socket.socketpair()
cleaned = []
def work():
    try:
        a.recv(1)
    finally:
        a.sendall(b"bye")
        cleaned.append(b.recv(3))
        time.sleep(0.02)
        with threading.Lock():
            cleaned.append(True)
interrupted(work)
assert cleaned == [b"bye", True], cleaned
)");
}

// ---- owners --------------------------------------------------------------------------------------------------------

TEST_F(InterruptTest, OwnersOfLocksAreRightAfterwards) {
  Run(R"(
rlock = threading.RLock()
taken = threading.Event()
let_go = threading.Event()
def hold():
    with rlock:
        taken.set()
        let_go.wait()
thread = threading.Thread(target=hold)
thread.start()
taken.wait()
interrupted(rlock.acquire)
interrupted(lambda: rlock.acquire(timeout=10))
let_go.set()
thread.join()
with rlock:
    assert rlock._is_owned()
    with rlock: pass
    # Nobody else may take it, also not who is the main thread.
    refused = []
    other = threading.Thread(target=lambda: refused.append(rlock.acquire(blocking=False)))
    other.start()
    other.join()
    assert refused == [False]
    interrupted(lambda: time.sleep(10))
    assert rlock._is_owned()
condition = threading.Condition()
with condition:
    interrupted(condition.wait)
    assert condition._is_owned()
)");
}

TEST_F(InterruptTest, ALockThatWasNotTakenIsNotThoughtTaken) {
  Run(R"(
lock = threading.Lock()
lock.acquire()
inside = []
def enter():
    with lock:
        inside.append(True)
interrupted(enter)
assert inside == [] and lock.locked()
lock.release()
with lock: pass
)");
}

// ---- every order ---------------------------------------------------------------------------------------------------

TEST_F(InterruptTest, OneThatIsPostedBeforeTheWaitEndsItAtOnce) {
  Run(R"(
start = time.monotonic()
try:
    number = interrupt_here()
    time.sleep(10)
    assert False
except greenring.Cancelled:
    pass
assert raised(number) == 1 and time.monotonic() - start < 5
time.sleep(0.001)
)");
}

TEST_F(InterruptTest, OneThatComesTogetherWithWhatIsWaitedForLosesNothing) {
  // Both orders of the two in one turn: the wait's result is kept, and the exception comes in the next wait.
  world_.Go(R"(
order = []
waiter = threading.get_ident()
ready = threading.Lock(); ready.acquire()
a, b = socket.socketpair()
for first in "release", "interrupt", "data":
    try:
        turn = first
        if first == "data":
            order.append(a.recv(10))
        else:
            ready.acquire()
            order.append(first)
        time.sleep(10)
        assert False
    except greenring.Cancelled:
        order.append("raised")
if b"data" not in order: order.append(a.recv(10))
turn = "end"
)");
  world_.Go(R"(
seen = None
numbers = []
while seen != "end":
    time.sleep(0.01)
    if turn == seen: continue
    seen = turn
    if seen == "release":
        ready.release(); numbers.append(interrupt(waiter))
    elif seen == "interrupt":
        numbers.append(interrupt(waiter)); ready.release()
    elif seen == "data":
        b.send(b"data"); numbers.append(interrupt(waiter))
assert [raised(number) for number in numbers] == [1, 1, 1]
)");
  world_.RunAll();
  world_.Execute(
      "assert order[:4] == ['release', 'raised', 'interrupt', 'raised'], order\n"
      "assert sorted(map(str, order[4:])) == [\"b'data'\", 'raised'], order\n");
}

TEST_F(InterruptTest, WhatIsWithdrawnIsNotRaised) {
  Run(R"(
for wait in (lambda: time.sleep(0.01), lambda: threading.Lock().acquire(), lambda: sum(range(100000))):
    number = interrupt_here()
    withdraw(number)
    wait()
    assert raised(number) == 0
number = interrupt_in(0.001)
def spin():
    end = time.monotonic() + 0.05
    while time.monotonic() < end: pass
withdraw(number)
spin()
assert raised(number) == 0
)");
}

TEST_F(InterruptTest, WhatIsWithdrawnWhileTheWaitIsBeingEndedDoesNotEndIt) {
  world_.Go(R"(
waiter = threading.get_ident()
lock = threading.Lock(); lock.acquire()
a, b = socket.socketpair()
turn = "sleep"
start = time.monotonic()
time.sleep(0.1)
assert time.monotonic() - start >= 0.1
turn = "lock"
lock.acquire()
turn = "recv"
assert a.recv(10) == b"data"
turn = "end"
)");
  world_.Go(R"(
seen = None
while seen != "end":
    time.sleep(0.01)
    if turn == seen: continue
    seen = turn
    if seen == "end": break
    number = interrupt(waiter)
    withdraw(number)
    time.sleep(0.02)
    assert raised(number) == 0 and not pending(number)
    if seen == "lock": lock.release()
    if seen == "recv": b.send(b"data")
)");
  world_.RunAll();
}

TEST_F(InterruptTest, TwoAreRaisedOneAfterTheOther) {
  Run(R"(
numbers = []
caught = 0
try:
    numbers += [interrupt_here(), interrupt_here()]
    time.sleep(10)
except greenring.Cancelled:
    caught += 1
    try:
        time.sleep(10)
    except greenring.Cancelled:
        caught += 1
assert caught == 2, caught
assert [raised(number) for number in numbers] == [1, 1]
time.sleep(0.001)
)");
}

TEST_F(InterruptTest, AnInstanceThatTheApplicationMakesIsItsOwn) {
  Run(R"(
number = interrupt_in(0.02)
mine = greenring.Cancelled()
assert mine.args == () and mine.reason == "cancelled" and raised(number) == 0
assert greenring.RequestTimeout(1, 2).args == (1, 2)
assert greenring.RequestTimeout().seconds is None and greenring.RequestTimeout().timeout is None
withdraw(number)
)");
}

TEST_F(InterruptTest, SignalHandlersStillRunOnTheMainThread) {
  world_.Execute(
      "import signal\nhandled = []\n"
      "signal.signal(signal.SIGUSR1, lambda *_: handled.append(threading.get_ident()))\n"
      "main = threading.get_ident()\n");
  Run(R"(
for _ in range(20):
    os.kill(os.getpid(), signal.SIGUSR1)
    interrupted(lambda: time.sleep(10), after=0.002)
while len(handled) < 10: time.sleep(0.001)
assert handled.count(main) > len(handled) // 2, (main, handled)
)");
}

TEST_F(InterruptTest, WhatIsWithdrawnWhenCPythonHasItAlreadyIsNotRaised) {
  Run(R"(
r, w = os.pipe()
reader = open(r, "rb")
numbers = []
got = []
def read(interrupted):
    with greenring.timeout(60):              # makes it one that can be interrupted
        if interrupted: numbers.append(interrupt_in(0.01))
        got.append(reader.read(1))
first = threading.Thread(target=read, args=(False,))
second = threading.Thread(target=read, args=(True,))
first.start()
time.sleep(0.01)             # it has the reader's lock, which nothing ends a wait for
second.start()
time.sleep(0.3)              # now CPython has been given the exception
assert pending(numbers[0])
withdraw(numbers[0])
os.write(w, b"ab")
first.join()
second.join()
assert sorted(got) == [b"a", b"b"] and raised(numbers[0]) == 0, got
)");
}

}  // namespace
}  // namespace greenring::pyhost
