#include "pyhost/module/module_fixture.h"

namespace greenring::pyhost {
namespace {

class ChannelTest : public ModuleTest {};

TEST_F(ChannelTest, ASendWaitsForItsReceive) {
  Run("channel = Channel()\n"
      "def send():\n"
      "  for i in range(3): channel.send(i); log.append(f'sent {i}')\n"
      "handle = go(send)\n"
      "yield_()\n"
      "assert log == [] and channel.balance == 1\n"
      "assert [channel.recv() for _ in range(3)] == [0, 1, 2]\n"
      "handle.join()\n"
      "assert log == ['sent 0', 'sent 1', 'sent 2']\n");
}

TEST_F(ChannelTest, AReceiveWaitsForItsSend) {
  Run("channel = Channel()\n"
      "handles = [go(channel.recv) for _ in range(3)]\n"
      "yield_()\n"
      "assert channel.balance == -3\n"
      "for i in range(3): channel.send(i)\n"
      "assert [h.result() for h in handles] == [0, 1, 2]\n");  // first come, first served
}

TEST_F(ChannelTest, WhatTheBufferHoldsNeedsNoWaiting) {
  Run("channel = Channel(3)\n"
      "assert (channel.capacity, len(channel), channel.closed, bool(channel)) == (3, 0, False, True)\n"
      "for round in range(3):\n"  // around the ring
      "  for i in range(3): channel.send((round, i))\n"
      "  assert len(channel) == 3\n"
      "  assert [channel.recv() for _ in range(2)] == [(round, 0), (round, 1)]\n"
      "  channel.send((round, 3))\n"
      "  assert [channel.recv() for _ in range(2)] == [(round, 2), (round, 3)]\n"
      "go(channel.send, 'waits'); go(channel.send, 'waits'); [channel.send(i) for i in range(3)]\n"
      "yield_()\n"
      "assert [channel.recv() for _ in range(5)] == [0, 1, 2, 'waits', 'waits']\n");
}

TEST_F(ChannelTest, IterationEndsWhenItIsClosedAndEmpty) {
  Run("channel = Channel(2)\n"
      "def produce():\n"
      "  for i in range(10): channel.send(i)\n"
      "  channel.close()\n"
      "go(produce)\n"
      "assert list(channel) == list(range(10)) and list(channel) == []\n");
}

TEST_F(ChannelTest, CloseEndsEveryWait) {
  Run("full, empty = Channel(), Channel()\n"
      "def attempt(call, *args):\n"
      "  try: call(*args)\n"
      "  except ChannelClosed as error: return error.channel\n"
      "handles = [go(attempt, full.send, 1), go(attempt, empty.recv), go(list, empty)]\n"
      "yield_()\n"
      "full.close(); empty.close(); empty.close()\n"  // twice is as good as once
      "assert full.closed\n"
      "assert [h.result() for h in handles] == [full, empty, []]\n"
      "assert attempt(full.send, 1) is full and attempt(full.recv) is full\n");
}

TEST_F(ChannelTest, TimeoutsRaiseTimeoutErrorAndLeaveTheLine) {
  Run("channel = Channel()\n"
      "import time\n"
      "for call, args in ((channel.recv, ()), (channel.send, (1,))):\n"
      "  for timeout in (0, 0.5):\n"
      "    try: call(*args, timeout=timeout)\n"
      "    except TimeoutError: pass\n"
      "    else: assert False\n"
      "assert channel.balance == 0\n"
      "go(channel.send, 'late')\n"
      "assert channel.recv(timeout=1) == 'late'\n");
  EXPECT_EQ(clock_.NowNs(), 2 * kNanosecondsPerSecond);
}

TEST_F(ChannelTest, ACancelledWaitTakesNothing) {
  Run("channel = Channel()\n"
      "receiver, sender = go(channel.recv), None\n"
      "yield_()\n"
      "receiver.cancel(); yield_()\n"
      "assert channel.balance == 0\n"
      "sender = go(channel.send, 'kept')\n"
      "assert channel.recv() == 'kept' and receiver.join() and receiver.cancelled()\n"
      "sender = go(channel.send, 'lost'); yield_(); sender.cancel(); sender.join()\n"
      "assert sender.cancelled() and channel.balance == 0\n");
}

TEST_F(ChannelTest, WhatWasHandedOverIsNotLostByACancellationThatComesLater) {
  Run("channel = Channel()\n"
      "def receive():\n"
      "  value = channel.recv()\n"
      "  log.append(value)\n"
      "  sleep(1)\n"
      "handle = go(receive)\n"
      "yield_()\n"
      "channel.send('value')\n"
      "handle.cancel()\n"  // before the receiver has run
      "handle.join()\n"
      "assert log == ['value'] and handle.cancelled()\n");
}

TEST_F(ChannelTest, ManyProducersAndConsumersLoseNothing) {
  Run("channel, results = Channel(3), Channel()\n"
      "producers = WaitGroup()\n"
      "def produce(n):\n"
      "  for i in range(100): channel.send((n, i))\n"
      "def consume(): results.send(list(channel))\n"
      "for n in range(5): producers.go(produce, n)\n"
      "for _ in range(4): go(consume)\n"
      "producers.wait()\n"
      "channel.close()\n"
      "received = [results.recv() for _ in range(4)]\n"
      "assert sorted(sum(received, [])) == [(n, i) for n in range(5) for i in range(100)]\n"
      "for each in received:\n"  // in order, as far as one producer goes
      "  for n in range(5): assert [v for v in each if v[0] == n] == sorted(v for v in each if v[0] == n)\n");
}

TEST_F(ChannelTest, CallsThatMakeNoSenseAreRefused) {
  Run("for wrong, kind in ((lambda: Channel(-1), ValueError), (lambda: Channel('1'), TypeError),\n"
      "                    (lambda: Channel().send(), TypeError), (lambda: Channel().send(1, 2, 3), TypeError),\n"
      "                    (lambda: Channel().send(1, value=2), TypeError), (lambda: Channel().recv(-1), ValueError),\n"
      "                    (lambda: Channel().recv(float('nan')), ValueError),\n"
      "                    (lambda: Channel(2**62), MemoryError),\n"
      "                    (lambda: type('Mine', (Channel,), {}), TypeError)):\n"
      "  try: wrong()\n"
      "  except kind: pass\n"
      "  else: assert False, wrong.__code__.co_firstlineno\n"
      "assert Channel[int] and 'Channel 1/2' in repr((c := Channel(2)).send(1) or c)\n");
}

TEST_F(ChannelTest, NothingIsLeftBehind) {
  ExpectNoLeak("",
               "  channel = Channel(4)\n"
               "  channel.send(channel)\n"  // a cycle
               "  channel.send(object())\n"
               "  rendezvous = Channel()\n"
               "  go(rendezvous.send, object()); rendezvous.recv()\n"
               "  h = go(rendezvous.recv); yield_(); rendezvous.send(object()); h.join()\n"
               "  h = go(rendezvous.recv); yield_(); h.cancel(); h.join()\n"
               "  h = go(rendezvous.send, object()); yield_(); rendezvous.close(); h.exception()\n"
               "  select(channel.on_recv(), timeout=0); select(channel.on_send(object())); select(default=object())\n"
               "  go(list, channel); yield_(); channel.close(); yield_()\n"
               "  del channel, rendezvous, h\n");
}

TEST_F(ChannelTest, ItMayBeReferredToWeakly) {
  Run("import weakref\n"
      "channel = Channel()\n"
      "reference = weakref.ref(channel, log.append)\n"
      "del channel\n"
      "assert log == [reference] and reference() is None\n");
}

// ---- select -------------------------------------------------------------------------------------------------------

class SelectTest : public ModuleTest {};

TEST_F(SelectTest, WhatCanBeDoneIsDoneAtOnce) {
  Run("a, b = Channel(1), Channel(1)\n"
      "b.send('value')\n"
      "assert select(a, b) == (b, 'value')\n"
      "case = a.on_send(7)\n"
      "assert select(case, b) == (case, None) and a.recv() == 7\n"
      "case = a.on_recv(); a.send(1)\n"
      "assert select(b, case, None) == (case, 1)\n");
}

TEST_F(SelectTest, TheFirstThatCanBeDoneEndsTheWait) {
  Run("a, b, out = Channel(), Channel(), Channel()\n"
      "handle = go(select, a, b, out.on_send('x'))\n"
      "yield_()\n"
      "assert (a.balance, b.balance, out.balance) == (-1, -1, 1)\n"
      "b.send('value')\n"
      "assert handle.result() == (b, 'value') and (a.balance, b.balance, out.balance) == (0, 0, 0)\n"
      "handle = go(select, a, out.on_send('x'))\n"
      "assert out.recv() == 'x' and handle.result()[1] is None and a.balance == 0\n");
}

TEST_F(SelectTest, EachThatCanBeDoneHasItsChance) {
  Run("a, b = Channel(1000), Channel(1000)\n"
      "for _ in range(1000): a.send('a'); b.send('b')\n"
      "chosen = [select(a, b)[1] for _ in range(1000)]\n"
      "assert 400 < chosen.count('a') < 600, chosen.count('a')\n");
}

TEST_F(SelectTest, TimeoutAndDefault) {
  Run("a = Channel()\n"
      "assert select(a, default='nothing') == (None, 'nothing')\n"
      "assert select(a, default=None) == (None, None)\n"
      "assert select(a, timeout=1, default='late') == (None, 'late')\n"
      "for timeout in (0, 1):\n"
      "  try: select(a, timeout=timeout)\n"
      "  except TimeoutError: pass\n"
      "  else: assert False\n"
      "assert select(timeout=1, default='slept') == (None, 'slept') and a.balance == 0\n"
      "go(a.send, 1)\n"
      "assert select(a, timeout=5, default=0) == (a, 1)\n");
  EXPECT_EQ(clock_.NowNs(), 4 * kNanosecondsPerSecond);
}

TEST_F(SelectTest, AClosedChannelIsToldByTheException) {
  Run("a, b = Channel(), Channel()\n"
      "def attempt():\n"
      "  try: select(a, b)\n"
      "  except ChannelClosed as error: return error.channel\n"
      "handle = go(attempt); yield_(); b.close()\n"
      "assert handle.result() is b and attempt() is b\n"
      "try: select(a, b.on_send(1))\n"
      "except ChannelClosed as error: assert error.channel is b\n"
      "else: assert False\n");
}

TEST_F(SelectTest, TwoSelectsMeet) {
  Run("a, b = Channel(), Channel()\n"
      "handle = go(select, a.on_send('x'), b.on_send('y'))\n"
      "yield_()\n"
      "assert select(b, Channel())[1] == 'y' and handle.join() and a.balance == b.balance == 0\n");
}

TEST_F(SelectTest, ACancelledOneLeavesEveryLine) {
  Run("a, b = Channel(), Channel()\n"
      "handle = go(select, a, b.on_send(1)); yield_(); handle.cancel(); handle.join()\n"
      "assert handle.cancelled() and a.balance == b.balance == 0\n");
}

TEST_F(SelectTest, CallsThatMakeNoSenseAreRefused) {
  Run("for wrong, kind in ((lambda: select(), ValueError), (lambda: select(None), ValueError),\n"
      "                    (lambda: select(1), TypeError), (lambda: select(Channel(), limit=1), TypeError),\n"
      "                    (lambda: Case(), TypeError)):\n"
      "  try: wrong()\n"
      "  except kind: pass\n"
      "  else: assert False, wrong.__code__.co_firstlineno\n");
}

}  // namespace
}  // namespace greenring::pyhost
