#include "pyhost/module/module_fixture.h"

namespace greenring::pyhost {
namespace {

class WaitGroupTest : public ModuleTest {};

TEST_F(WaitGroupTest, WaitsUntilAllHaveEnded) {
  Run("group = WaitGroup()\n"
      "for i in range(3): group.go(sleep, i)\n"
      "assert 'of 3' in repr(group)\n"
      "assert group.wait(0) is False and group.wait(1.5) is False and group.wait() is True\n");
  EXPECT_EQ(clock_.NowNs(), 3 * kNanosecondsPerSecond);
}

TEST_F(WaitGroupTest, CountsWhatItIsTold) {
  Run("group = WaitGroup()\n"
      "assert group.wait()\n"
      "group.add(); group.add(2); group.done()\n"
      "waiters = [go(group.wait) for _ in range(3)]\n"
      "yield_()\n"
      "group.done(); assert not waiters[0].join(0.1)\n"
      "group.add(count=-1)\n"
      "assert [w.result() for w in waiters] == [True] * 3\n");
}

TEST_F(WaitGroupTest, WhatFailsOrIsCancelledHasEndedToo) {
  Run("group = WaitGroup()\n"
      "def fail(): raise KeyError\n"
      "handles = [group.go(fail), group.go(sleep, 100), group.go(sleep, 100)]\n"
      "handles[1].cancel(); yield_(); handles[2].cancel()\n"
      "assert group.wait(1) and isinstance(handles[0].exception(), KeyError)\n");
}

TEST_F(WaitGroupTest, CallsThatMakeNoSenseAreRefused) {
  Run("import sys\n"
      "for wrong, kind in ((lambda: WaitGroup().done(), ValueError), (lambda: WaitGroup().add(-1), ValueError),\n"
      "                    (lambda: WaitGroup(3), TypeError), (lambda: WaitGroup().go(), TypeError),\n"
      "                    (lambda: WaitGroup().add(sys.maxsize) or (g := WaitGroup()).add(sys.maxsize) or g.add(),\n"
      "                     ValueError)):\n"
      "  try: wrong()\n"
      "  except kind: pass\n"
      "  else: assert False, wrong.__code__.co_firstlineno\n"
      "group = WaitGroup()\n"
      "try: group.go(1)\n"
      "except TypeError: assert group.wait(0)\n");
}

class SchedulingTest : public ModuleTest {};

TEST_F(SchedulingTest, SleepTakesItsTimeWhileOthersRun) {
  Run("handle = go(sleep, 3)\n"
      "sleep(1.5)\n"
      "assert not handle.done()\n"
      "sleep(0)\n"
      "handle.join()\n");
  EXPECT_EQ(clock_.NowNs(), 4 * kNanosecondsPerSecond);
}

TEST_F(SchedulingTest, YieldLetsEverybodyElseRun) {
  Run("def f(name):\n"
      "  for i in range(3): log.append((name, i)); yield_()\n"
      "handles = [go(f, name) for name in 'ab']\n"
      "for h in handles: h.join()\n"
      "assert log == [(name, i) for i in range(3) for name in 'ab'], log\n");
}

TEST_F(SchedulingTest, YieldRaisesACancellation) {
  Run("def spin():\n"
      "  while True: yield_()\n"
      "handle = go(spin); yield_(); handle.cancel()\n"
      "assert handle.join() and handle.cancelled()\n");
}

TEST_F(SchedulingTest, DurationsThatMakeNoSenseAreRefused) {
  Run("for wrong, kind in ((-1, ValueError), (float('nan'), ValueError), (None, TypeError), ('1', TypeError)):\n"
      "  try: sleep(wrong)\n"
      "  except kind: pass\n"
      "  else: assert False, wrong\n");
}

TEST_F(SchedulingTest, DumpsTellWhatEverybodyWaitsIn) {
  Run("channel, group = Channel(), WaitGroup()\n"
      "never = group.go(sleep, 100)\n"
      "handles = [go(channel.recv), go(Channel().send, 1), go(select, channel), go(group.wait), go(never.join), "
      "never]\n"
      "yield_()\n"
      "calls = {thread.id: thread.call for thread in threads()}\n"
      "assert [calls[handle.id] for handle in handles] == ['Channel.recv', 'Channel.send', 'greenring.select',\n"
      "    'WaitGroup.wait', 'Handle.join', 'greenring.sleep'], calls\n"
      "for handle in handles: handle.cancel()\n");
}

TEST_F(SchedulingTest, OffGreenThreadsSleepSleepsAndCurrentIsNone) {
  Execute(
      "import time\n"
      "begin = time.monotonic(); sleep(0.05); yield_()\n"
      "assert time.monotonic() - begin >= 0.05 and current() is None\n");
}

// Python code on OS threads of its own, beside the scheduler.
class OtherThreadsTest : public ModuleTest {};

constexpr char kOnThread[] =
    "import threading\n"
    "def on_thread(function, *args):\n"
    "  answer = Channel(1)\n"
    "  def run():\n"
    "    try: answer.send(function(*args))\n"
    "    except BaseException as error: answer.send(error)\n"
    "  thread = threading.Thread(target=run); thread.start()\n"
    "  return answer\n";

TEST_F(OtherThreadsTest, ValuesGoBothWays) {
  Run(std::string(kOnThread) +
      "to, back = Channel(), Channel()\n"
      "def work():\n"
      "  for value in to: back.send(value * 2)\n"
      "  back.close()\n"
      "on_thread(work)\n"
      "def feed():\n"
      "  for i in range(100): to.send(i)\n"
      "  to.close()\n"
      "go(feed)\n"
      "assert list(back) == [2 * i for i in range(100)]\n");
}

TEST_F(OtherThreadsTest, TheyStartWaitForAndCancelFunctions) {
  Run(std::string(kOnThread) +
      "def work():\n"
      "  assert current() is None\n"
      "  assert go(lambda: current().name).result() == 'work.<locals>.<lambda>'\n"
      "  never = Channel()\n"
      "  handle = go(never.recv)\n"
      "  assert not handle.join(0.05)\n"
      "  assert handle.cancel() and handle.join() and handle.cancelled()\n"
      "  try: never.recv(timeout=0.05)\n"
      "  except TimeoutError: return 'ended'\n"
      "assert on_thread(work).recv() == 'ended'\n");
}

TEST_F(OtherThreadsTest, TheyHandOverToEachOther) {
  Run(std::string(kOnThread) +
      "channel = Channel(2)\n"
      "def produce():\n"
      "  for i in range(200): channel.send(i)\n"
      "  return True\n"
      "def consume(): return [channel.recv() for _ in range(100)]\n"
      "answers = [on_thread(f) for f in (consume, produce, consume)]\n"
      "first, produced, second = [answer.recv() for answer in answers]\n"
      "assert produced is True and sorted(first + second) == list(range(200))\n");
}

}  // namespace
}  // namespace greenring::pyhost
