#include "pyhost/current_request.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "pyhost/core_greenlet.h"
#include "pyhost/core_thread.h"
#include "pyhost/gil.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/python.h"
#include "pyhost/python_os_thread.h"
#include "pyhost/python_stack.h"

namespace greenring::pyhost {
namespace {

double SecondsOf(int64_t duration_ns) {
  return static_cast<double>(duration_ns) / static_cast<double>(kNanosecondsPerSecond);
}

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
      greenlet_(CoreGreenlet::Current()),
      interruptible_(greenlet_ == nullptr ? Interruptible::Current() : nullptr),
      os_thread_(greenlet_ == nullptr && interruptible_ == nullptr ? PythonOsThread::Current() : nullptr),
      state_(PyThreadState_Get()) {
  SetPlaceRequest(this);
  exchange_->SetInterrupter(this);
}

CurrentRequest::~CurrentRequest() {
  exchange_->SetInterrupter(nullptr);
  WithdrawPosted();
  SetPlaceRequest(nullptr);
  if (report_ != nullptr) report_->request = nullptr;
}

void CurrentRequest::SetPlaceRequest(CurrentRequest* request) {
  if (greenlet_ != nullptr) return greenlet_->set_request(request);
  if (interruptible_ != nullptr) return interruptible_->set_request(request);
  GREENRING_CHECK(os_thread_ != nullptr);
  os_thread_->set_request(request);
}

green::Scheduler* CurrentRequest::scheduler() const {
  if (greenlet_ != nullptr) return greenlet_->thread()->scheduler();
  return interruptible_ != nullptr ? interruptible_->thread()->scheduler() : nullptr;
}

CurrentRequest* CurrentRequest::Of(const green::GreenThread* thread) {
  const Interruptible* const interruptible = Interruptible::Of(thread);
  if (interruptible != nullptr) return interruptible->request();
  if (const CoreGreenlet* const greenlet = CoreGreenlet::Of(thread); greenlet != nullptr) return greenlet->request();
  const CoreThread* const core = CoreThread::Of(thread);
  return core != nullptr && core->python() != nullptr ? core->python()->request() : nullptr;
}

CurrentRequest* CurrentRequest::Current() {
  const green::GreenThread* thread = green::GreenThread::Current();
  if (thread != nullptr) return Of(thread);
  const PythonOsThread* const os_thread = PythonOsThread::Current();
  return os_thread != nullptr ? os_thread->request() : nullptr;
}

int64_t CurrentRequest::AgeNs() const {
  Clock* const clock = scheduler() != nullptr ? scheduler()->clock() : Clock::Monotonic();
  return clock->NowNs() - exchange_->started_ns();
}

void CurrentRequest::WithdrawPosted() {
  timeout_.Withdraw();
  cancelled_.Withdraw();
}

void CurrentRequest::BeginClose() {
  WithdrawPosted();
  exchange_->BeginClose();
}

void CurrentRequest::OnCutShort(CutShort reason) {
  (reason == CutShort::kTimedOut ? timeout_ : cancelled_).Post(reason);
}

void CurrentRequest::OnCancelled(const std::string& reason) {
  cancel_reason_ = reason;
  cancelled_.Post(CutShort::kCancelled);
}

std::string CurrentRequest::PythonStack() {
  return greenlet_ != nullptr ? greenlet_->PythonStack() : FormatPythonStack(state_);
}

// To look at a stack takes the GIL, and so a green thread of its own.
void CurrentRequest::OnOverdue() {
  if (scheduler() == nullptr) return error_log_->RequestMessage(name(), OverdueMessage());
  report_ = new Report{this};
  scheduler()->Spawn(
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

std::string CurrentRequest::OverdueMessage() {
  const std::string stack = PythonStack();
  return absl::StrCat("still running after ", SecondsOf(AgeNs()), " s, ",
                      interrupted_ ? "although greenring.RequestTimeout was raised in it"
                                   : "and greenring.RequestTimeout could not be raised in it",
                      "; it is in\n", stack.empty() ? "  (no Python code)" : stack.substr(0, stack.size() - 1));
}

void CurrentRequest::Exception::Post(CutShort reason) {
  if (state() == State::kPosted) return;
  Rearm();
  reason_ = reason;
  if (request_->greenlet_ != nullptr) return request_->greenlet_->Post(this);
  if (request_->interruptible_ != nullptr) return request_->interruptible_->Post(this);
  const bool timed_out = reason == CutShort::kTimedOut;
  request_->os_thread_->Post(this, timed_out ? InterruptErrors::RequestTimeout() : InterruptErrors::Cancelled());
}

void CurrentRequest::Exception::Withdraw() {
  if (request_->greenlet_ != nullptr) return request_->greenlet_->Withdraw(this);
  if (request_->interruptible_ != nullptr) return request_->interruptible_->Withdraw(this);
  request_->os_thread_->Withdraw(this);
}

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
  request_->interrupted_at_ = request_->PythonStack();
}

}  // namespace greenring::pyhost
