#include "pyhost/module/module_fixture.h"

namespace greenring::pyhost {
namespace {

class HandleTest : public ModuleTest {};

TEST_F(HandleTest, TheResultIsWhatTheFunctionReturned) {
  Run("assert go(lambda a, b=0: (a, b), 1, b=2).result() == (1, 2)\n"
      "assert go(int).result() == 0\n");
}

TEST_F(HandleTest, TheFunctionRunsWhenTheCallerWaits) {
  Run("handle = go(log.append, 'ran')\n"
      "assert log == [] and not handle.done()\n"
      "yield_()\n"
      "assert log == ['ran'] and handle.done()\n");
}

TEST_F(HandleTest, ManyRunBesideEachOther) {
  Run("handles = [go(sleep, 5) for _ in range(100)]\n"
      "assert all([handle.join() for handle in handles])\n");
  EXPECT_EQ(clock_.NowNs(), 6 * kNanosecondsPerSecond);  // it begins with 1 s
}

TEST_F(HandleTest, AnExceptionIsRaisedByResultAndReturnedByException) {
  Run("def fail(): raise KeyError('k')\n"
      "handle = go(fail)\n"
      "assert isinstance(handle.exception(), KeyError)\n"
      "try: handle.result()\n"
      "except KeyError as error:\n"
      "  import traceback\n"
      "  assert 'in fail' in ''.join(traceback.format_exception(error))\n"
      "else: assert False\n"
      "assert go(int).exception() is None\n");
}

TEST_F(HandleTest, JoinTellsWhetherItHasEnded) {
  Run("handle = go(sleep, 2)\n"
      "assert handle.join(0) is False and handle.join(1) is False\n"
      "assert handle.join(timeout=5) is True and handle.join(0) is True\n");
}

TEST_F(HandleTest, ResultAndExceptionRaiseTimeoutError) {
  Run("handle = go(sleep, 2)\n"
      "for wait in (handle.result, handle.exception):\n"
      "  try: wait(timeout=0.5)\n"
      "  except TimeoutError as error: assert 'has not ended' in str(error), error\n"
      "  else: assert False\n"
      "assert handle.result() is None\n");
}

TEST_F(HandleTest, AnyNumberMayWaitForOne) {
  Run("handle = go(lambda: sleep(1) or 7)\n"
      "assert [h.result() for h in [go(handle.result) for _ in range(10)]] == [7] * 10\n");
}

TEST_F(HandleTest, NobodyWaitsForItself) {
  Run("def f():\n"
      "  try: handle.join()\n"
      "  except RuntimeError as error: return str(error)\n"
      "handle = go(f)\n"
      "assert 'its own end' in handle.result()\n");
}

TEST_F(HandleTest, NameIdAndState) {
  Run("def f(): return greenring.current()\n"
      "handle = go(f)\n"
      "assert handle.name == 'f' and 'Handle f #' in repr(handle), handle\n"
      "thread = handle.result()\n"
      "assert (thread.name, thread.id) == ('f', handle.id), (thread, handle)\n"
      "assert go(f).result().id > thread.id\n"  // on the same green thread
      "assert 'done' in repr(handle)\n"
      "assert thread.stack_size >= 1 << 20\n");
}

TEST_F(HandleTest, WhatIsNoFunctionIsRefused) {
  Run("for wrong in ((), (1,)):\n"
      "  try: go(*wrong)\n"
      "  except TypeError as error: assert 'go() needs a function' in str(error)\n"
      "  else: assert False\n"
      "try: Handle()\n"
      "except TypeError: pass\n"
      "else: assert False\n"
      "try: go(int).join(timeout=-1)\n"
      "except ValueError as error: assert '0 or more' in str(error)\n"
      "else: assert False\n"
      "for call in (lambda h: h.join(1, 2), lambda h: h.join(t=1), lambda h: h.join(1, timeout=1),\n"
      "             lambda h: h.join('x')):\n"
      "  try: call(go(int))\n"
      "  except TypeError: pass\n"
      "  else: assert False\n");
}

// ---- cancelling ---------------------------------------------------------------------------------------------------

TEST_F(HandleTest, ACancelledOneSeesCancelledWhereItWaits) {
  Run("def f():\n"
      "  try: sleep(100)\n"
      "  except Cancelled as error: log.append(error.reason); raise\n"
      "handle = go(f)\n"
      "yield_()\n"
      "assert handle.cancel() is True and not handle.cancelled()\n"
      "assert handle.join() and handle.cancelled()\n"
      "assert log == ['cancelled'], log\n"
      "assert handle.cancel() is False\n");
  EXPECT_EQ(clock_.NowNs(), kNanosecondsPerSecond);
}

TEST_F(HandleTest, TheResultOfACancelledOneIsAnExceptionThatPassesForNoCancellation) {
  Run("handle = go(sleep, 100)\n"
      "yield_()\n"
      "handle.cancel()\n"
      "try: handle.result()\n"
      "except Exception as error:\n"
      "  assert type(error) is ResultCancelled and type(error.__cause__) is Cancelled\n"
      "else: assert False\n"
      "assert type(handle.exception()) is Cancelled\n");
}

TEST_F(HandleTest, OneThatHasNotBegunNeverRuns) {
  Run("handle = go(log.append, 1)\n"
      "assert handle.cancel()\n"
      "assert handle.join() and handle.cancelled() and log == []\n");
}

TEST_F(HandleTest, WhoSwallowsACancellationCanBeCancelledAgain) {
  Run("def f():\n"
      "  for i in range(3):\n"
      "    try: sleep(100)\n"
      "    except Cancelled: log.append(i)\n"
      "  return 'ended'\n"
      "handle = go(f)\n"
      "for _ in range(3): yield_(); handle.cancel()\n"
      "assert handle.result() == 'ended' and not handle.cancelled() and log == [0, 1, 2], log\n");
}

TEST_F(HandleTest, ACancellationThatComesTooLateHurtsNobodyAfterIt) {
  Run("def cancel_myself():\n"
      "  handles[0].cancel()\n"
      "  return 'done'\n"
      "handles = [go(cancel_myself)]\n"
      "handles[0].join()\n"
      "assert go(lambda: sleep(1) or sum(range(1000))).result() == 499500\n");
}

TEST_F(HandleTest, ACancellationTellsItsReason) {
  Run("def f():\n"
      "  try: sleep(10)\n"
      "  except Cancelled as error: return error.reason\n"
      "handle = go(f)\n"
      "yield_()\n"
      "handle.cancel()\n"
      "assert handle.result() == 'cancelled'\n");
}

TEST_F(HandleTest, ATimeoutThatAFunctionHasLeftOpenDoesNotConcernTheNextOne) {
  Run("go(lambda: timeout(1).__enter__()).join()\n"
      "assert go(lambda: sleep(5) or current().id).result()\n");
}

TEST_F(HandleTest, AWaitForAHandleCanBeCancelledItself) {
  Run("inner = go(sleep, 10)\n"
      "outer = go(inner.result)\n"
      "yield_()\n"
      "outer.cancel()\n"
      "assert outer.join() and outer.cancelled() and not inner.done()\n"
      "assert inner.result() is None\n");
}

// ---- what goes unnoticed ------------------------------------------------------------------------------------------

constexpr char kHook[] =
    "import sys\n"
    "sys.unraisablehook = lambda unraisable: log.append((type(unraisable.exc_value), repr(unraisable.object)))\n"
    "def fail(error): raise error\n";

TEST_F(HandleTest, AnExceptionThatNobodyAsksForIsTold) {
  Run(std::string(kHook) +
      "go(fail, KeyError())\n"
      "yield_()\n"
      "assert log[0][0] is KeyError and 'Handle fail' in log[0][1], log\n"
      "handle = go(fail, IndexError())\n"
      "handle.join()\n"
      "assert len(log) == 1\n"
      "del handle\n"
      "assert log[1][0] is IndexError\n");
}

TEST_F(HandleTest, WhatWasAskedForOrCancelledOrExitsIsNot) {
  Run(std::string(kHook) +
      "go(fail, KeyError()).exception()\n"
      "cancelled = go(sleep, 9); yield_(); cancelled.cancel(); cancelled.join(); del cancelled\n"
      "go(fail, SystemExit()); yield_()\n"
      "assert log == [], log\n");
}

TEST_F(HandleTest, ContextVariablesAreCopied) {
  Run("import contextvars\n"
      "variable = contextvars.ContextVar('variable', default=0)\n"
      "variable.set(1)\n"
      "def f():\n"
      "  seen = variable.get(); variable.set(2); yield_(); return seen, variable.get()\n"
      "assert [go(f).result() for _ in range(2)] == [(1, 2)] * 2\n"
      "assert variable.get() == 1\n");
}

TEST_F(HandleTest, NothingIsLeftBehind) {
  ExpectNoLeak(
      "def fail(): raise KeyError\n"
      "def f(*args, **kwargs): return [args]\n",
      "  go(f, object(), key=object()).result()\n"
      "  go(fail).exception()\n"
      "  h = go(sleep, 10); yield_(); h.cancel(); h.join()\n"
      "  try: h.result()\n"
      "  except ResultCancelled: pass\n"
      "  h = go(f); h.cancel(); h.join()\n"
      "  l = []; l.append(go(f, l)); l[0].join()\n");  // a cycle
}

TEST_F(HandleTest, WhatIsStartedBeforeThePoolOpensWaitsForIt) {
  Execute(
      "handle = go(log.append, 1)\ncancelled = go(log.append, 2)\ncancelled.cancel()\n"
      "assert handle.id is None and 'waiting to start' in repr(handle)\n"
      "try: handle.join()\n"
      "except RuntimeError as error: assert 'nothing to wait for yet' in str(error)\n"
      "else: assert False\n"
      "assert handle.join(0) is False\n");
  Run("assert handle.join() and log == [1] and cancelled.cancelled()\n");
}

TEST_F(HandleTest, TenThousandAtOnce) {
  Run("handles = [go(lambda i: sleep(1) or i, i) for i in range(10_000)]\n"
      "assert sum(handle.result() for handle in handles) == 49_995_000\n");
}

}  // namespace
}  // namespace greenring::pyhost
