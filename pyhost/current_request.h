// The request that a core runs: what dumps tell of it, and how its application is interrupted.
//
//   CurrentRequest current(request.head, exchange, &error_log);       // on the core, for as long as the request runs
//   ...
//   if (CurrentRequest* request = CurrentRequest::Of(thread)) Print(request->target(), now_ns - request->started_ns());
//
// The exchange says when the application shall be interrupted (Exchange::Interrupter); here that becomes the exception
// greenring.RequestTimeout or greenring.Cancelled, raised on the core's green thread and nowhere else. What goes on all
// the same is reported in the error log with its Python stack.
//
// Scheduler's thread only; or on the core's own OS thread (python_os_thread.h): then whoever interrupts it holds the
// GIL, and the exchange answers started_ns and deadline_ns on any thread. Where greenlets share a green thread it must
// not be on the stack, which is copied away while others run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "green/scheduler.h"
#include "protocol/request_head.h"
#include "pyhost/error_log.h"
#include "pyhost/exchange.h"
#include "pyhost/interrupt.h"

extern "C" {
typedef struct _object PyObject;
typedef struct _ts PyThreadState;
}

namespace greenring::pyhost {

class CoreGreenlet;
class CurrentCore;
class PythonOsThread;
class Response;

class CurrentRequest final : private Exchange::Interrupter {
 public:
  // On the core's green thread, which has a ScopedPythonThread, on its OS thread (os_thread.h) or on its greenlet
  // (core_greenlet.h); all of it outlives this. GIL held. Never parks.
  CurrentRequest(const protocol::RequestHead& head, Exchange* exchange, ErrorLog* error_log,
                 std::string_view request_id = {});

  // What is still posted is withdrawn. Never parks.
  ~CurrentRequest();

  CurrentRequest(const CurrentRequest&) = delete;
  CurrentRequest& operator=(const CurrentRequest&) = delete;

  // That of `thread`, or of the OS thread that works in its place: GIL held there, scheduler's thread. Nullptr if it
  // runs none. Never parks.
  static CurrentRequest* Of(const green::GreenThread* thread);

  // That of the current thread, green or not, or greenlet. Never parks.
  static CurrentRequest* Current();

  std::string_view method() const { return head_.method; }
  std::string_view target() const { return head_.target; }
  RequestName name() const { return {.id = request_id_, .method = head_.method, .target = head_.target}; }

  // When it was queued for this core, and when it times out (kNeverNs: not at all), by the scheduler's clock.
  int64_t started_ns() const { return exchange_->started_ns(); }
  int64_t deadline_ns() const { return exchange_->deadline_ns(); }

  // How long it has been since started_ns(). Never parks.
  int64_t AgeNs() const;

  // For its application: see Exchange. Never parks.
  void SetTimeout(int64_t timeout_ns) { exchange_->SetTimeout(timeout_ns); }
  void SetCancelOnDisconnect(bool cancel) { exchange_->SetCancelOnDisconnect(cancel); }

  // The core that runs it, and what its application has of it: borrowed, and null before and after it runs.
  struct Parts {
    CurrentCore* core = nullptr;
    Response* response = nullptr;
    PyObject* body = nullptr;  // wsgi.input
    PyObject* environ = nullptr;
  };
  const Parts& parts() const { return parts_; }
  Parts* mutable_parts() { return &parts_; }

  // What has not been raised yet will not be. Never parks.
  void WithdrawPosted();

  // The application's clean-up is about to run: the same, and its time is the grace. Never parks.
  void BeginClose();

  // An exception of ours was raised in the application.
  bool interrupted() const { return interrupted_; }

  // What the operator who has cancelled it gave as the reason.
  const std::string& cancel_reason() const { return cancel_reason_; }

  // The Python stack where the last one was, a line each; empty without Python code.
  const std::string& interrupted_at() const { return interrupted_at_; }

 private:
  // The exception of one kind.
  class Exception final : public Interrupt {
   public:
    explicit Exception(CurrentRequest* request) : request_(request) {}
    // Has it raised, again if it was before.
    void Post(CutShort reason);
    void Withdraw();

   private:
    PyObject* NewException() override;
    void OnRaised() override;

    CurrentRequest* const request_;
    CutShort reason_ = CutShort::kNo;
  };

  struct Report;

  void SetPlaceRequest(CurrentRequest* request);
  green::Scheduler* scheduler() const;  // nullptr: it runs on an OS thread
  std::string OverdueMessage();

  void OnCutShort(CutShort reason) override;
  void OnCancelled(const std::string& reason) override;
  void OnOverdue() override;
  std::string PythonStack() override;
  static void WriteReport(Report* report);

  const protocol::RequestHead& head_;
  Exchange* const exchange_;
  ErrorLog* const error_log_;
  const std::string_view request_id_;
  // Where it runs: one of the three, the others are null.
  CoreGreenlet* const greenlet_;
  Interruptible* const interruptible_;  // of a green thread
  PythonOsThread* const os_thread_;
  PyThreadState* const state_;
  Exception timeout_{this};
  Exception cancelled_{this};
  Parts parts_;
  std::string interrupted_at_;
  std::string cancel_reason_;
  bool interrupted_ = false;
  Report* report_ = nullptr;  // on its way to the error log
};

}  // namespace greenring::pyhost
