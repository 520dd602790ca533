// The master's one thread that owns its state, and the door into it for gRPC's threads.
//
//   Reactor reactor;
//   reactor.Run();                                                       // on the main thread, until Stop
//   std::vector<v1::Pool> pools = reactor.Call([&] { return plane->ListPools(); });   // on another thread
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <memory>
#include <type_traits>
#include <utility>

namespace greenring::control {

class Reactor {
 public:
  boost::asio::io_context* context() { return &context_; }

  // Until Stop. On the thread that owns everything from now on.
  void Run() { context_.run(); }

  // Thread-safe.
  void Stop() { context_.stop(); }

  // Queues `function()`. Thread-safe.
  template <typename F>
  void Post(F&& function) {
    boost::asio::post(context_, std::forward<F>(function));
  }

  // Runs `function()` on the reactor's thread and returns its result. Blocks; on other threads only. Once the reactor
  // has stopped for good it throws std::future_error: whoever calls is stopped first.
  template <typename F>
  auto Call(F&& function) -> std::invoke_result_t<F> {
    auto task = std::make_shared<std::packaged_task<std::invoke_result_t<F>()>>(std::forward<F>(function));
    auto result = task->get_future();
    Post([task = std::move(task)] { (*task)(); });
    return result.get();
  }

 private:
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
};

}  // namespace greenring::control
