// A core of engine `thread`: an OS thread that runs the application, and its place on the loop, a green thread.
//
//   ThreadCore core(&scheduler, &errands, 8 << 20, [&](HttpExchange* request, pyhost::Exchange* exchange) { ... });
//   while (HttpExchange* request = pool->Next()) {          // in CorePool::Runner::RunCore
//     absl::Status served = core.Serve(request);
//     request->connection()->OnServed();
//   }
//
//     loop's OS thread                        the core's OS thread
//     green thread: Serve ── turn_ ─────────> handle(request, exchange)      GIL held
//                   parked                      exchange->SendBody(...)
//                   SendBody, may park <────── turn_                         GIL given up, asleep
//                          └───────── turn_ ──> goes on
//                   returns <───────── turn_ ── handle has returned
//
// So connections, timers and the request's state belong to the loop's OS thread alone, and the two never run in them at
// the same time. The loop never holds the GIL: what has to be raised in the application goes through GilErrands.
//
// Whoever is interrupted computes: PyThreadState_SetAsyncExc raises the exception at the next bytecode. A system call
// that blocks is not ended, and the exception comes after it; waits for the client (request body, response) are.
//
// An overflow of the OS thread's stack costs the request, and that OS thread: Serve says so, and the core is at its
// end. What was on the stack is neither unwound nor freed (green/stack_overflow.h).
//
// Made, used and destroyed on one green thread.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "green/scheduler.h"
#include "protocol/response_encoder.h"
#include "pyhost/core_thread.h"
#include "pyhost/exchange.h"
#include "pyhost/os_thread.h"
#include "worker/http_exchange.h"

namespace greenring::worker {

class ThreadCore final {
 public:
  // On the OS thread, GIL held; `exchange` stands for the request there.
  using Handle = std::function<void(HttpExchange* request, pyhost::Exchange* exchange)>;

  // The OS thread gets a stack of that size, but at least kStackSizeBytesMin.
  ThreadCore(green::Scheduler* scheduler, pyhost::GilErrands* errands, size_t stack_size_bytes, Handle handle);

  // Ends the OS thread; one whose stack is lost is left behind. Parks.
  ~ThreadCore();

  ThreadCore(const ThreadCore&) = delete;
  ThreadCore& operator=(const ThreadCore&) = delete;

  // Has the request handled. RESOURCE_EXHAUSTED: there is no OS thread to be had, and nothing was done. DATA_LOSS: its
  // stack has overflowed; frames of that refer to `request`, which must not be used for another one
  // (Connection::OnAbandoned), and Serve is not called again. Parks.
  absl::Status Serve(HttpExchange* request);

  // After DATA_LOSS: the Python code that the OS thread was in the middle of, the innermost call first. Never parks.
  std::string DescribeLostStack() const;

  // What the system gives threads by default: address space, of which only what is used costs memory.
  static constexpr size_t kStackSizeBytesMin = size_t{8} << 20;

 private:
  enum class Turn : uint32_t {
    kLoop,
    kThread,
    kLost,  // the OS thread's stack; nobody has the turn any more
  };
  class RemoteExchange;     // the request, as the OS thread has it
  class LoopInterrupter;    // who is told on the loop that it shall end
  struct ApplicationState;  // what errands have of it

  absl::Status StartThread();
  static void* ThreadMain(void* core);
  void RunThread();
  void OnStackLost();  // in place of RunThread
  void ForgetApplication();
  void AwaitTurn(Turn turn);  // of the OS thread

  green::Scheduler* const scheduler_;
  pyhost::GilErrands* const errands_;
  const size_t stack_size_bytes_;
  const Handle handle_;
  green::GreenThread* const green_thread_;
  pyhost::CoreThread core_thread_{green_thread_};
  pthread_t thread_ = 0;
  bool started_ = false;

  // Whoever has the turn has all of this.
  std::atomic<Turn> turn_{Turn::kLoop};
  HttpExchange* request_ = nullptr;                  // nullptr: the OS thread ends
  const absl::FunctionRef<void()>* call_ = nullptr;  // to be done on the loop; nullptr: the request is handled
  std::shared_ptr<ApplicationState> application_;
};

}  // namespace greenring::worker
