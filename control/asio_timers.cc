#include "control/asio_timers.h"

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "control/reactor.h"

namespace greenring::control {
namespace {

// What is queued already when it is cancelled runs into `function` being empty: both share the state.
class AsioTimer final : public Timers::Timer {
 public:
  AsioTimer(boost::asio::io_context* context, int64_t delay_ns, std::function<void()> function)
      : timer_(*context), function_(std::make_shared<std::function<void()>>(std::move(function))) {
    timer_.expires_after(std::chrono::nanoseconds(delay_ns));
    timer_.async_wait([function = function_](const boost::system::error_code& error) {
      if (error || !*function) return;
      const std::function<void()> once = std::exchange(*function, nullptr);
      once();
    });
  }

  ~AsioTimer() override { *function_ = nullptr; }

 private:
  boost::asio::steady_timer timer_;
  const std::shared_ptr<std::function<void()>> function_;
};

class AsioTimers final : public Timers {
 public:
  explicit AsioTimers(boost::asio::io_context* context) : context_(context) {}

  int64_t NowNs() override { return Clock::Monotonic()->NowNs(); }

  int64_t UnixNs() override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }

  std::unique_ptr<Timer> After(int64_t delay_ns, std::function<void()> function) override {
    return std::make_unique<AsioTimer>(context_, delay_ns, std::move(function));
  }

 private:
  boost::asio::io_context* const context_;
};

}  // namespace

std::unique_ptr<Timers> MakeAsioTimers(Reactor* reactor) { return std::make_unique<AsioTimers>(reactor->context()); }

}  // namespace greenring::control
