#include <string>
#include <string_view>

#include "base/clock.h"
#include "gtest/gtest.h"
#include "pyhost/current_request.h"
#include "pyhost/error_log.h"
#include "pyhost/fake_exchange.h"
#include "pyhost/module/module_fixture.h"

namespace greenring::pyhost {
namespace {

class NoLog final : public ErrorLog {
 public:
  void Message(std::string_view) override {}
  void ApplicationText(std::string_view) override {}
};

class RequestTest : public ModuleTest {
 protected:
  // As Run, in a request.
  void RunInRequest(const std::string& source) {
    RunGreen({[&] {
      const CurrentRequest request(exchange_.head(), &exchange_, &log_);
      Execute(source);
    }});
  }

  NoLog log_;
  FakeExchange exchange_{"GET / HTTP/1.1\r\nHost: x\r\n\r\n"};
};

TEST_F(RequestTest, TimeoutsAreSecondsOrNone) {
  RunInRequest("set_request_timeout(2)\n");
  EXPECT_EQ(exchange_.timeout_ns(), 2 * kNanosecondsPerSecond);
  RunInRequest("set_request_timeout(0.5)\n");
  EXPECT_EQ(exchange_.timeout_ns(), kNanosecondsPerSecond / 2);
  for (const char* none : {"None", "1e300", "float('inf')"}) {
    RunInRequest("set_request_timeout(1)\nset_request_timeout(" + std::string(none) + ")\n");
    EXPECT_EQ(exchange_.timeout_ns(), kNeverNs) << none;
  }
}

TEST_F(RequestTest, WhatIsNoTimeoutIsRefused) {
  RunInRequest(R"(
for value, error in (0, ValueError), (-1, ValueError), (float('nan'), ValueError), ('1', TypeError), ([], TypeError):
    try:
        set_request_timeout(value)
    except error as refused:
        log.append(str(refused))
    else:
        assert False, value
)");
  EXPECT_EQ(Evaluate("log[0]"), "a timeout must be positive, or None for no timeout, not 0");
  EXPECT_EQ(exchange_.timeout_ns(), kNeverNs);
}

TEST_F(RequestTest, CancelOnDisconnectIsOnAndOff) {
  RunInRequest("set_cancel_on_disconnect(True)\n");
  EXPECT_TRUE(exchange_.cancel_on_disconnect());
  RunInRequest("set_cancel_on_disconnect(0)\n");
  EXPECT_FALSE(exchange_.cancel_on_disconnect());
}

TEST_F(RequestTest, SettersSayWhereTheyCannotWorkAndDecoratorsDoNothingThere) {
  Run(R"(
assert not in_request()
for call in lambda: set_request_timeout(1), lambda: set_cancel_on_disconnect(True):
    try:
        call()
    except RuntimeError as error:
        log.append(str(error))
assert request_timeout(1)(lambda: 'called')() == 'called'
assert cancel_on_disconnect(lambda: 'called')() == 'called'
)");
  EXPECT_EQ(Evaluate("log"),
            "['greenring.set_request_timeout() is for the thread that handles a request', "
            "'greenring.set_cancel_on_disconnect() is for the thread that handles a request']");
}

TEST_F(RequestTest, DecoratorsSetWhenTheViewIsCalledAndAreOtherwiseNotSeen) {
  RunInRequest(R"(
@request_timeout(3)
@cancel_on_disconnect
def view(one, *, two):
    """Says both."""
    return one, two
assert view.__name__ == 'view' and view.__doc__ == 'Says both.'
)");
  EXPECT_EQ(exchange_.timeout_ns(), kNeverNs);
  EXPECT_FALSE(exchange_.cancel_on_disconnect());
  RunInRequest("assert in_request()\nassert view(1, two=2) == (1, 2)\n");
  EXPECT_EQ(exchange_.timeout_ns(), 3 * kNanosecondsPerSecond);
  EXPECT_TRUE(exchange_.cancel_on_disconnect());
}

}  // namespace
}  // namespace greenring::pyhost
