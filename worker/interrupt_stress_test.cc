// Green threads that wait at random and are interrupted at random: each interrupt is raised once, in the green thread
// that it is for, and nothing else is. INTERRUPT_SEED=N replays a run.
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "worker/interrupt_world.h"

namespace greenring::pyhost {
namespace {

constexpr char kStress[] = R"(
import errno, os, queue, random, select, socket, threading, time

lock, rlock, condition, q = threading.Lock(), threading.RLock(), threading.Condition(), queue.Queue()
left = 24
targets = {}

def with_lock():
    with lock:
        assert lock.locked()
        time.sleep(0.0002)

def with_rlock():
    with rlock:
        time.sleep(0.0002)
        with rlock:
            assert rlock._is_owned()

def wait_condition():
    with condition:
        try:
            condition.wait(0.003)
        finally:
            assert condition._is_owned()
        condition.notify()

def compute():
    end = time.monotonic() + 0.001
    while time.monotonic() < end: pass

def patient(a):
    if patient_poll(a.fileno()) != errno.ECANCELED:
        a.recv(1)

def take():
    try:
        q.get(timeout=0.002)
    except queue.Empty:
        pass

def run(seed):
    global left
    rng = random.Random(seed)
    me = threading.get_ident()
    a, b = socket.socketpair()
    a.settimeout(0.003)
    r, w = os.pipe()
    waits = [
        lambda: time.sleep(rng.random() * 0.003), lambda: select.select([a], [], [], 0.002), with_lock, with_rlock,
        wait_condition, compute, take, lambda: q.put(1), lambda: (b.send(b"."), patient(a)),
        lambda: (os.write(w, b"."), os.read(r, 1)),
    ]
    numbers = []
    caught = 0
    withdrawn = 0

    def round():
        nonlocal withdrawn
        if rng.random() < 0.5:
            numbers.append(interrupt_in(rng.random() * 0.004))
        if rng.random() < 0.1:
            numbers.append(interrupt_here())
        if numbers and rng.random() < 0.1:
            withdraw(numbers[-1])
        rng.choice(waits)()
        try:
            a.recv(1)
        except (TimeoutError, OSError):
            pass
        assert threading.get_ident() == me

    for _ in range(60):
        try:
            round()
        except greenring.Cancelled:
            caught += 1
        except OSError as error:
            assert error.errno == errno.ECANCELED, error
    while any(pending(number) for number in numbers):
        try:
            time.sleep(0.05)
        except greenring.Cancelled:
            caught += 1
    try:
        time.sleep(0.01)     # those whose time has not come
    except greenring.Cancelled:
        caught += 1
    while True:
        try:
            for number in numbers: withdraw(number)
            break
        except greenring.Cancelled:
            caught += 1
    counts = [raised(number) for number in numbers]
    assert max(counts) <= 1
    # One that is raised while another is on its way to its handler takes its place.
    assert caught <= sum(counts) <= caught + 3, (caught, sum(counts))
    left -= 1
    for s in a, b: s.close()
    for f in r, w: os.close(f)
)";

TEST(InterruptStressTest, EachIsRaisedOnceWhereItBelongs) {
  const char* given = std::getenv("INTERRUPT_SEED");
  const unsigned long seed = given != nullptr ? std::strtoul(given, nullptr, 10) : std::random_device()();
  std::cerr << "INTERRUPT_SEED=" << seed << std::endl;
  InterruptWorld world;
  world.Execute(kStress);
  for (unsigned long i = 0; i < 24; ++i) world.Go("run(" + std::to_string(seed + i) + ")");
  world.RunAll();
  world.Execute(
      "assert left == 0\nassert not lock.locked() and not condition._is_owned()\nassert "
      "rlock.acquire(blocking=False)\n");
}

}  // namespace
}  // namespace greenring::pyhost
