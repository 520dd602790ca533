#include "pyhost/current_request.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "pyhost/gil.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/python.h"
#include "pyhost/python_stack.h"

namespace greenring::pyhost {
namespace {

double SecondsOf(int64_t duration_ns) {
  return static_cast<double>(duration_ns) / static_cast<double>(kNanosecondsPerSecond);
}

// That of an OS thread.
constinit thread_local CurrentRequest* request_of_os_thread = nullptr;

}  // namespace

// Lives until it is written; `request` is null once that has ended.
struct CurrentRequest::Report {
  CurrentRequest* request;
};

CurrentRequest::CurrentRequest(const protocol::RequestHead& head, Exchange* exchange, ErrorLog* error_log,
                               std::string_view request_id)
    : head_(head),
      exchange_(exchange),
      error_log_(error_log),
      request_id_(request_id),
      interruptible_(Interruptible::Current()),
      thread_ident_(PyThread_get_thread_ident()),
      state_(PyThreadState_Get()) {
  if (interruptible_ != nullptr) {
    interruptible_->set_request(this);
  } else {
    request_of_os_thread = this;
  }
  exchange_->SetInterrupter(this);
}

CurrentRequest::~CurrentRequest() {
  exchange_->SetInterrupter(nullptr);
  WithdrawPosted();
  if (interruptible_ != nullptr) {
    interruptible_->set_request(nullptr);
  } else {
    request_of_os_thread = nullptr;
  }
  if (report_ != nullptr) report_->request = nullptr;
}

CurrentRequest* CurrentRequest::Of(const green::GreenThread* thread) {
  const Interruptible* interruptible = Interruptible::Of(thread);
  return interruptible != nullptr ? interruptible->request() : nullptr;
}

CurrentRequest* CurrentRequest::Current() {
  const green::GreenThread* thread = green::GreenThread::Current();
  return thread != nullptr ? Of(thread) : request_of_os_thread;
}

int64_t CurrentRequest::AgeNs() const {
  Clock* const clock = interruptible_ != nullptr ? interruptible_->thread()->scheduler()->clock() : Clock::Monotonic();
  return clock->NowNs() - exchange_->started_ns();
}

void CurrentRequest::WithdrawPosted() {
  if (interruptible_ == nullptr) {
    if (std::exchange(raised_, false)) PyThreadState_SetAsyncExc(thread_ident_, nullptr);
    return;
  }
  timeout_.Withdraw();
  cancelled_.Withdraw();
}

void CurrentRequest::BeginClose() {
  WithdrawPosted();
  exchange_->BeginClose();
}

void CurrentRequest::OnCutShort(CutShort reason) {
  if (interruptible_ == nullptr) {
    const bool timed_out = reason == CutShort::kTimedOut;
    return RaiseInOsThread(timed_out ? InterruptErrors::RequestTimeout() : InterruptErrors::Cancelled());
  }
  (reason == CutShort::kTimedOut ? timeout_ : cancelled_).Post(reason);
}

void CurrentRequest::OnCancelled(const std::string& reason) {
  cancel_reason_ = reason;
  if (interruptible_ == nullptr) return RaiseInOsThread(InterruptErrors::Cancelled());
  cancelled_.Post(CutShort::kCancelled);
}

std::string CurrentRequest::PythonStack() { return FormatPythonStack(state_); }

// CPython makes an instance of the class, so that it knows no reason.
void CurrentRequest::RaiseInOsThread(PyObject* exception_type) {
  raised_ = true;
  interrupted_at_ = FormatPythonStack(state_);
  PyThreadState_SetAsyncExc(thread_ident_, exception_type);
}

// To look at a stack takes the GIL, and so a green thread of its own.
void CurrentRequest::OnOverdue() {
  if (interruptible_ == nullptr) return error_log_->RequestMessage(name(), OverdueMessage());
  report_ = new Report{this};
  interruptible_->thread()->scheduler()->Spawn(
      [report = report_] {
        const ScopedPythonThread python;
        WriteReport(report);
      },
      {.name = "report"});
}

void CurrentRequest::WriteReport(Report* report) {
  const std::unique_ptr<Report> owned(report);
  CurrentRequest* const request = report->request;
  if (request == nullptr) return;
  request->report_ = nullptr;
  request->error_log_->RequestMessage(request->name(), request->OverdueMessage());
}

std::string CurrentRequest::OverdueMessage() const {
  const std::string stack = FormatPythonStack(state_);
  return absl::StrCat("still running after ", SecondsOf(AgeNs()), " s, ",
                      interrupted_ ? "although greenring.RequestTimeout was raised in it"
                                   : "and greenring.RequestTimeout could not be raised in it",
                      "; it is in\n", stack.empty() ? "  (no Python code)" : stack.substr(0, stack.size() - 1));
}

void CurrentRequest::Exception::Post(CutShort reason) {
  if (state() == State::kPosted) return;
  Rearm();
  reason_ = reason;
  request_->interruptible_->Post(this);
}

void CurrentRequest::Exception::Withdraw() { request_->interruptible_->Withdraw(this); }

PyObject* CurrentRequest::Exception::NewException() {
  switch (reason_) {
    case CutShort::kNo:
    case CutShort::kTimedOut:
      break;
    case CutShort::kDisconnected:
      return InterruptErrors::NewCancelled("disconnected");
    case CutShort::kDraining:
      return InterruptErrors::NewCancelled("draining");
    case CutShort::kCancelled:
      return InterruptErrors::NewCancelled(request_->cancel_reason_.c_str());
  }
  return InterruptErrors::NewRequestTimeout(SecondsOf(request_->deadline_ns() - request_->started_ns()));
}

void CurrentRequest::Exception::OnRaised() {
  request_->interrupted_ = true;
  request_->interrupted_at_ = FormatPythonStack(PyThreadState_Get());
}

}  // namespace greenring::pyhost
