#include <cstdint>
#include <string>
#include <vector>

#include "pyhost/module/greenlets_fixture.h"

namespace greenring::pyhost {
namespace {

// ---- waits ---------------------------------------------------------------------------------------------------------

TEST_F(GreenletsTest, RequestsExchangeThroughChannels) {
  Execute("answers = Channel()\n");
  Run(
      {"for i in range(3): channel.send(i)\n"
       "channel.close()\n"
       "assert answers.recv() == [0, 1, 2]\n",
       "answers.send(list(channel))\n"});
}

TEST_F(GreenletsTest, GreenThreadsAndRequestsWaitForEachOther) {
  Run(
      {"handle = go(lambda: channel.recv() + 1)\n"
       "sleep(1)\n"
       "channel.send(6)\n"
       "assert handle.result() == 7 and handle.join() and handle.exception() is None\n",
       "def late(): sleep(2); log.append('late')\n"
       "late_handle = go(late)\n"
       "assert not late_handle.join(timeout=1) and now() == 1\n"
       "assert late_handle.join() and log == ['late']\n"});
}

TEST_F(GreenletsTest, AWaitGroupWaitsForOtherRequests) {
  Execute("group = WaitGroup()\ngroup.add(2)\n");
  Run(
      {"assert not group.wait(timeout=1) and now() == 1\n"
       "assert group.wait() and now() == 3 and log == [1, 2]\n",
       "sleep(3); log.append(2); group.done()\n", "sleep(2); log.append(1); group.done()\n"});
}

TEST_F(GreenletsTest, ASelectEndsWithTheFirstThatCanBeDone) {
  Execute("other = Channel()\n");
  Run(
      {"assert select(channel, other, timeout=1, default='late') == (None, 'late') and now() == 1\n"
       "assert select(channel, other) == (other, 'value') and other.balance == 0\n"
       "case = channel.on_send('sent')\n"
       "assert select(other, case) == (case, None) and other.balance == channel.balance == 0\n",
       "sleep(2)\nother.send('value')\nassert channel.recv() == 'sent'\n"});
}

TEST_F(GreenletsTest, TimeoutsLeaveTheLine) {
  Run(
      {"for call in (channel.recv, lambda timeout: channel.send(1, timeout=timeout)):\n"
       "  try: call(timeout=0.5)\n"
       "  except TimeoutError: pass\n"
       "  else: assert False\n"
       "  assert channel.balance == 0\n"
       "assert now() == 1\n"});
}

TEST_F(GreenletsTest, AHundredRequestsLoseNothing) {
  Execute("results, buffered, done = [], Channel(3), WaitGroup()\ndone.add(50)\n");
  std::vector<std::string> sources;
  for (int i = 0; i < 50; ++i) {
    sources.push_back("for i in range(20):\n  (channel, buffered)[i % 2].send((" + std::to_string(i) +
                      ", i))\n  if i % 7 == 0: yield_()\ndone.done()\n");
    sources.push_back(
        "while True:\n"
        "  try: results.append(select(channel, buffered)[1])\n"
        "  except ChannelClosed: break\n"
        "results += list(buffered)\n");
  }
  sources.push_back("done.wait()\nbuffered.close()\nchannel.close()\n");
  Run(sources);
  Execute("assert sorted(results) == [(n, i) for n in range(50) for i in range(20)], len(results)\n");
}

TEST_F(GreenletsTest, AnotherOsThreadMayAnswer) {
  Run(
      {"import _thread\n"
       "for i in range(20):\n"
       "  _thread.start_new_thread(channel.send, (i,))\n"
       "  assert channel.recv() == i\n",
       "import _thread\n"
       "other = Channel()\n"
       "_thread.start_new_thread(lambda: other.send(other.recv() + 1), ())\n"
       "other.send(1)\n"
       "assert other.recv() == 2\n"});
}

// ---- exceptions ----------------------------------------------------------------------------------------------------

TEST_F(GreenletsTest, AnInterruptEndsTheWaitOfItsOwnRequestOnly) {
  Run(
      {"group = WaitGroup()\n"
       "group.add()\n"
       "for wait in (channel.recv, lambda: channel.send(1), lambda: select(channel), group.wait, lambda: sleep(99)):\n"
       "  try: wait()\n"
       "  except Cancelled as error: assert error.reason == 'a test'\n"
       "  else: assert False\n"
       "  assert channel.balance == 0\n"
       "  sleep(0.5)\n",  // clean-up may wait again
       "for _ in range(5):\n  sleep(1)\n  cancel(0)\nassert now() == 5\n"});
}

TEST_F(GreenletsTest, WhatWasHandedOverGoesBackWhenAnInterruptIsDue) {
  for (const char* receive : {"channel.recv()", "select(channel, Channel())", "next(channel)"}) {
    for (const char* hand_over : {"cancel(0); channel.send('value')", "channel.send('value'); cancel(0)"}) {
      Run({std::string("try: ") + receive + "\nexcept Cancelled: log.append('cancelled')\n",
           std::string("yield_()\n") + hand_over + "\n" +
               "sleep(1)\nassert log.pop() == 'cancelled'\nassert len(channel) == 1\n"
               "assert channel.recv(timeout=0) == 'value' and len(channel) == 0\n"});
    }
  }
}

TEST_F(GreenletsTest, WhatGoesBackIsForTheNextOneWhoWaits) {
  Run({"try: channel.recv()\nexcept Cancelled: log.append('cancelled')\n", "log.append(channel.recv())\n",
       "yield_()\nyield_()\nassert channel.balance == -2\nchannel.send('value'); cancel(0)\n"});
  Execute("assert sorted(log) == ['cancelled', 'value'], log\n");
}

TEST_F(GreenletsTest, NothingIsLeftBehind) {
  int64_t grown = INT64_MAX;
  for (int i = 0; i < 6 && grown > 100; ++i) {
    const int64_t before = AllocatedBlocks();
    Run(
        {"for _ in range(500):\n"
         "  channel.send(object())\n"
         "  try: channel.recv(timeout=0.1)\n"
         "  except TimeoutError: pass\n"
         "  try:\n"
         "    with timeout(0.1): select(channel)\n"
         "  except RequestTimeout: pass\n"
         "  own = Channel()\n"
         "  go(own.send, object())\n"
         "  own.recv()\n",
         "for _ in range(500):\n"
         "  channel.recv()\n"
         "  sleep(0.2)\n"});
    grown = AllocatedBlocks() - before;
  }
  EXPECT_LE(grown, 100);
}

// ---- greenlets that are no request's -------------------------------------------------------------------------------

TEST_F(GreenletsTest, ASpawnedGreenletWaitsToo) {
  Run(
      {"def spawned():\n"
       "  assert not in_request()\n"
       "  log.append(channel.recv())\n"
       "  sleep(1)\n"
       "  yield_()\n"
       "  log.append(now())\n"
       "spawn(spawned)\n"
       "channel.send('value')\n"
       "sleep(0.5)\n"
       "assert log == ['value']\n"
       "sleep(1)\n"
       "assert log == ['value', 1]\n"});
}

TEST_F(GreenletsTest, TheHubEndsWhenNobodyWaitsAnyMore) {
  Run(
      {"spawn(lambda: log.append(channel.recv()))\n"
       "def late(): sleep(5); channel.send('late')\n"
       "go(late)\n"});
  Execute("assert log == ['late']\n");
}

TEST_F(GreenletsTest, WhoWaitsForNothingEndsWhenItIsToldTo) {
  Run(
      {"def forsaken():\n"
       "  try: channel.recv()\n"
       "  except BaseException as error: log.append(type(error).__name__); sleep(1); log.append(now())\n"
       "def end(): sleep(5); end_greenlets()\n"
       "spawn(forsaken)\n"
       "go(end)\n"});
  Execute("assert log == ['GreenletExit', 6], log\n");
}

TEST_F(GreenletsTest, SeveralGreenletsOfARequestWait) {
  Run(
      {"me = getcurrent()\n"
       "children = [greenlet(lambda: log.append(channel.recv())) for _ in range(3)]\n"
       "for child in children: on_hub(child.switch)\n"
       "sleep(1)\n"
       "assert channel.balance == -3\n"
       "on_hub(me.switch)\n"
       "for i in range(3): channel.send(i)\n"
       "sleep(1)\n"
       "assert log == [0, 1, 2], log\n"});
}

TEST_F(GreenletsTest, TheHubItselfIsToldThatItCannotWait) {
  Run(
      {"def on_the_hub():\n"
       "  for wait in (channel.recv, lambda: channel.send(1), lambda: sleep(1), lambda: select(channel)):\n"
       "    try: wait()\n"
       "    except RuntimeError as error: log.append(str(error))\n"
       "  buffered = Channel(1)\n"
       "  buffered.send('no need to wait'); yield_()\n"
       "  log.append(buffered.recv())\n"
       "on_hub(on_the_hub)\n"
       "sleep(1)\n"
       "assert len(log) == 5 and log.pop() == 'no need to wait'\n"
       "assert all('cannot wait' in each for each in log), log\n"});
}

// ---- greenring.timeout ---------------------------------------------------------------------------------------------

TEST_F(GreenletsTest, ATimeoutEndsTheBlockOfItsOwnRequest) {
  Run(
      {"try:\n"
       "  with timeout(2) as t:\n"
       "    assert t.remaining == 2\n"
       "    channel.recv()\n"
       "  assert False\n"
       "except RequestTimeout as error: assert error.timeout is t and t.expired and now() == 2\n"
       "sleep(5)\n",
       "with timeout(3) as ended_in_time: sleep(2.5)\n"
       "assert not ended_in_time.expired\n"
       "sleep(5)\n"});
}

TEST_F(GreenletsTest, TimeoutsNest) {
  Run(
      {"try:\n"
       "  with timeout(2) as outer:\n"
       "    try:\n"
       "      with timeout(1) as inner: sleep(5)\n"
       "      assert False\n"
       "    except RequestTimeout as error: assert error.timeout is inner and now() == 1\n"
       "    with timeout(5): sleep(5)\n"
       "  assert False\n"
       "except RequestTimeout as error: assert error.timeout is outer and now() == 2\n"
       "try:\n"
       "  with timeout(1) as outer:\n"
       "    with timeout(1) as inner: sleep(5)\n"
       "  assert False\n"
       "except RequestTimeout as error: assert error.timeout in (outer, inner) and now() == 3\n"
       "sleep(5)\n"
       "assert now() == 8\n"});
}

TEST_F(GreenletsTest, ABlockWithoutTimeRaisesAtItsEnd) {
  Run(
      {"try:\n"
       "  with timeout(0) as t: done = True\n"
       "  assert False\n"
       "except RequestTimeout as error: assert error.timeout is t\n"
       "assert done\n"
       "sleep(1)\n"});
}

TEST_F(GreenletsTest, ATimeoutThatIsNeverLeftEndsWithItsRequest) {
  Run(
      {"def endless():\n"
       "  with timeout(1): yield\n"
       "kept = endless()\n"
       "next(kept)\n",
       "sleep(5)\n"});
  Execute("kept.close()\n");
}

TEST_F(GreenletsTest, ASpawnedGreenletHasNoTimeout) {
  Run(
      {"def spawned():\n"
       "  try:\n"
       "    with timeout(1): pass\n"
       "  except RuntimeError as error: log.append(str(error))\n"
       "spawn(spawned)\n"
       "sleep(1)\n"
       "assert 'gevent.Timeout' in log[0], log\n"});
}

}  // namespace
}  // namespace greenring::pyhost
