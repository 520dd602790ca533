#include "gmock/gmock.h"
#include "pyhost/uwsgi/uwsgi_fixture.h"

namespace greenring::pyhost {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class WaitsTest : public UwsgiTest {};

TEST_F(WaitsTest, ABareSuspendYields) {
  EXPECT_EQ(Call("result = uwsgi.suspend(), uwsgi.ready_fd(), uwsgi.green_schedule()"), "(True, -1, True)");
  EXPECT_THAT(core_.waits, ElementsAre("yield", "yield"));
}

TEST_F(WaitsTest, SuspendWaitsForWhatWasAskedForOnce) {
  core_.results = {0};
  EXPECT_EQ(Call("result = uwsgi.wait_fd_read(0, 2), uwsgi.suspend(), uwsgi.ready_fd(), uwsgi.suspend(), "
                 "uwsgi.ready_fd()"),
            "(b'', True, 0, True, -1)");
  EXPECT_THAT(core_.waits, ElementsAre("wait (0r) 2000000000", "yield"));
}

TEST_F(WaitsTest, ATimeoutHasNoDescriptorAndLeavesNothing) {
  core_.results = {CurrentCore::kTimedOut};
  EXPECT_EQ(Call("uwsgi.wait_fd_write(1, 1)\nresult = uwsgi.suspend(), uwsgi.ready_fd(), uwsgi.suspend()"),
            "(True, -1, True)");
  EXPECT_THAT(core_.waits, ElementsAre("wait (1w) 1000000000", "yield"));
}

TEST_F(WaitsTest, SecondsHaveFractions) {
  Call("uwsgi.async_sleep(0.5)\nuwsgi.suspend()\nuwsgi.async_sleep(2.9)\nuwsgi.suspend()");
  EXPECT_THAT(core_.waits, ElementsAre("wait () 500000000", "wait () 2900000000"));
}

TEST_F(WaitsTest, ZeroNegativeAndHugeTimeoutsAreNone) {
  Call("for seconds in (0, -1, -0.5, 1e300):\n    uwsgi.wait_fd_read(0, seconds)\n    uwsgi.suspend()");
  EXPECT_THAT(core_.waits,
              ElementsAre("wait (0r) for ever", "wait (0r) for ever", "wait (0r) for ever", "wait (0r) for ever"));
  core_.waits.clear();
  Call("uwsgi.async_sleep(0)\nuwsgi.suspend()");
  EXPECT_THAT(core_.waits, ElementsAre("yield"));
}

TEST_F(WaitsTest, TheFirstTimeoutCounts) {
  Call(
      "uwsgi.wait_fd_read(0)\nuwsgi.wait_fd_read(1, 3)\nuwsgi.wait_fd_read(2, 1)\nuwsgi.async_sleep(9)\n"
      "uwsgi.suspend()");
  EXPECT_THAT(core_.waits, ElementsAre("wait (0r 1r 2r) 3000000000"));
}

TEST_F(WaitsTest, ADescriptorIsWaitedForInBothDirectionsAtOnce) {
  Call("uwsgi.wait_fd_read(0)\nuwsgi.wait_fd_write(0)\nuwsgi.suspend()");
  EXPECT_THAT(core_.waits, ElementsAre("wait (0rw) for ever"));
}

TEST_F(WaitsTest, WrongArgumentsAreRefused) {
  for (const char* fd : {"-1", "99999"}) {
    EXPECT_THAT(Call(absl::StrCat("uwsgi.wait_fd_read(", fd, ", 1)")), StartsWith("OSError(9, 'uwsgi.wait_fd_read()"));
  }
  EXPECT_THAT(Call("uwsgi.wait_fd_read('a')"), StartsWith("TypeError"));
  EXPECT_THAT(Call("uwsgi.wait_fd_read(1 << 40)"), StartsWith("OverflowError"));
  EXPECT_THAT(Call("uwsgi.wait_fd_read(0, float('nan'))"), StartsWith("ValueError"));
  EXPECT_THAT(Call("uwsgi.wait_fd_read(0, None)"), StartsWith("TypeError"));
  EXPECT_THAT(Call("uwsgi.wait_fd_read()"), HasSubstr("needs the argument 'fd'"));
  EXPECT_THAT(Call("uwsgi.async_sleep('a')"), StartsWith("TypeError"));
  EXPECT_THAT(core_.waits, ElementsAre());
}

TEST_F(WaitsTest, AWaitThatFailsRaisesAndIsForgotten) {
  core_.results = {CurrentCore::kFailed};
  EXPECT_EQ(Call("uwsgi.wait_fd_read(0)\ntry:\n    uwsgi.suspend()\nexcept InterruptedError as error:\n"
                 "    result = str(error), uwsgi.suspend(), uwsgi.ready_fd()"),
            "('from outside', True, -1)");
  EXPECT_THAT(core_.waits, ElementsAre("wait (0r) for ever", "yield"));
}

TEST_F(WaitsTest, OutsideARequestSuspendYieldsAndTheRestIsRefused) {
  RunGreen({[this] {
    Execute(
        "assert uwsgi.suspend() is True\nassert uwsgi.ready_fd() == -1\n"
        "for call in (lambda: uwsgi.wait_fd_read(0), lambda: uwsgi.async_sleep(1), uwsgi.connection_fd,\n"
        "             uwsgi.disconnect, uwsgi.cl, uwsgi.request_context, uwsgi.chunked_read_nb):\n"
        "    try: call()\n"
        "    except OSError as error: assert 'code that handles a request' in str(error), error\n"
        "    else: assert False, call\n");
  }});
  Execute("assert uwsgi.suspend() is True\n");  // an OS thread
}

TEST_F(WaitsTest, TheServerWaitsBeforeTheNextItem) {
  core_.results = {CurrentCore::kTimedOut, 0};
  Request(
      "def app(environ, start_response):\n    START\n"
      "    yield environ['x-wsgiorg.fdevent.readable'](0, 1)\n"
      "    yield b'%r %r ' % (environ['x-wsgiorg.fdevent.timeout'], environ['uwsgi.ready_fd'])\n"
      "    yield environ['x-wsgiorg.fdevent.writable'](0, 2)\n"
      "    yield b'%r %r ' % (environ['x-wsgiorg.fdevent.timeout'], environ['uwsgi.ready_fd'])\n"
      "    yield b'%r %r' % (environ['x-wsgiorg.fdevent.timeout'], environ['uwsgi.ready_fd'])\n");
  EXPECT_EQ(exchange_->body(), "True None None 0 None None");
  EXPECT_THAT(core_.waits, ElementsAre("wait (0r) 1000000000", "wait (0w) 2000000000"));
}

TEST_F(WaitsTest, AnEmptyItemYieldsWhenNothingWasAskedFor) {
  Request("def app(environ, start_response):\n    START\n    uwsgi.ready_fd()\n    yield b''\n    yield b'x'\n");
  EXPECT_EQ(exchange_->body(), "x");
  EXPECT_THAT(core_.waits, ElementsAre("yield"));
}

TEST_F(WaitsTest, AWaitThatFailsBetweenTwoItemsIsTheApplications) {
  core_.results = {CurrentCore::kFailed};
  Request("def app(environ, start_response):\n    START\n    uwsgi.wait_fd_read(0)\n    return [b'late']\n");
  ExpectError(*exchange_, "InterruptedError: from outside");
}

TEST_F(WaitsTest, AListWaitsForWhatWasAskedFor) {
  Request("def app(environ, start_response):\n    START\n    uwsgi.async_sleep(1)\n    return [b'late']\n");
  EXPECT_EQ(exchange_->body(), "late");
  EXPECT_THAT(core_.waits, ElementsAre("wait () 1000000000"));
}

TEST_F(WaitsTest, RequestContextsAreOpaque) {
  EXPECT_THAT(Call("result = uwsgi.request_context()"), StartsWith("<uwsgi.RequestContext object"));
}

}  // namespace
}  // namespace greenring::pyhost
