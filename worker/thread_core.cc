#include "worker/thread_core.h"

#include <pthread.h>
#include <sysexits.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/futex.h"
#include "green/scoped_wait.h"
#include "green/stack_overflow.h"
#include "pyhost/python_os_thread.h"
#include "pyhost/recursion.h"

namespace greenring::worker {
namespace {

constinit bool in_forked_child = false;

// A copy of the server would answer its clients a second time; and the loop is its parent's.
void DieInForkedChild() {
  if (!in_forked_child) [[likely]]
    return;
  std::fprintf(
      stderr,
      "greenring: process %d was made by fork on a core's OS thread and came back to the server: such a process "
      "must end with os._exit() or exec\n",
      getpid());
  _exit(EX_SOFTWARE);
}

}  // namespace

// Of one request. It outlives that as long as there are errands for it.
struct ThreadCore::ApplicationState {
  using Interrupter = pyhost::Exchange::Interrupter;

  // With the GIL: tells the application, or keeps it until there is one.
  void Tell(std::function<void(Interrupter*)> what) {
    if (interrupter != nullptr) {
      what(interrupter);
    } else {
      early = std::move(what);
    }
    told_count.fetch_add(1, std::memory_order_release);
    FutexWake(&told_count);
  }

  // The GIL guards these.
  Interrupter* interrupter = nullptr;
  std::function<void(Interrupter*)> early;

  std::atomic<int64_t> deadline_ns{kNeverNs};
  std::atomic<uint32_t> asked_count{0};  // by the loop
  std::atomic<uint32_t> told_count{0};   // by errands
};

// On the loop. Never waits for the GIL.
class ThreadCore::LoopInterrupter final : public pyhost::Exchange::Interrupter {
 public:
  explicit LoopInterrupter(ThreadCore* core) : core_(core) {}

  void OnCutShort(pyhost::CutShort reason) override {
    Ask([reason](Interrupter* interrupter) { interrupter->OnCutShort(reason); });
  }
  void OnCancelled(const std::string& reason) override {
    Ask([reason](Interrupter* interrupter) { interrupter->OnCancelled(reason); });
  }
  void OnOverdue() override {
    Post([](Interrupter* interrupter) { interrupter->OnOverdue(); });
  }
  std::string PythonStack() override {
    pyhost::Exchange::Interrupter* const interrupter = core_->application_->interrupter;
    return interrupter != nullptr ? interrupter->PythonStack() : "";
  }

  bool in_call = false;  // the green thread does something for the application

 private:
  void Post(std::function<void(Interrupter*)> what) {
    core_->application_->asked_count.fetch_add(1, std::memory_order_relaxed);
    core_->errands_->Post(
        [application = core_->application_, what = std::move(what)]() mutable { application->Tell(std::move(what)); });
  }
  void Ask(std::function<void(Interrupter*)> what) {
    Post(std::move(what));
    if (in_call) core_->scheduler_->Cancel(core_->green_thread_);
  }

  ThreadCore* const core_;
};

// On the OS thread, GIL held; it is given up while the loop does what was asked for.
class ThreadCore::RemoteExchange final : public pyhost::Exchange {
 public:
  explicit RemoteExchange(ThreadCore* core)
      : core_(core), request_(core->request_), application_(core->application_), started_ns_(request_->started_ns()) {}

  absl::StatusOr<size_t> ReadBody(char* data, size_t size) override {
    return Call<absl::StatusOr<size_t>>([&] { return request_->ReadBody(data, size); });
  }
  absl::StatusOr<size_t> ReadBodyWithin(char* data, size_t size, int64_t timeout_ns) override {
    return Call<absl::StatusOr<size_t>>([&] { return request_->ReadBodyWithin(data, size, timeout_ns); });
  }
  int64_t chunk_left_bytes() const override { return request_->chunk_left_bytes(); }
  int64_t content_length() const override { return request_->content_length(); }
  absl::Status SendComplete(const protocol::ResponseEncoder& head, std::string_view body) override {
    return Call<absl::Status>([&] { return request_->SendComplete(head, body); });
  }
  absl::Status SendHead(const protocol::ResponseEncoder& head, int64_t body_bytes) override {
    return Call<absl::Status>([&] { return request_->SendHead(head, body_bytes); });
  }
  absl::Status SendBody(std::string_view data) override {
    return Call<absl::Status>([&] { return request_->SendBody(data); });
  }
  absl::StatusOr<int64_t> SendFile(int fd, int64_t offset, int64_t size) override {
    return Call<absl::StatusOr<int64_t>>([&] { return request_->SendFile(fd, offset, size); });
  }
  absl::Status Flush() override {
    return Call<absl::Status>([&] { return request_->Flush(); });
  }
  absl::Status Finish() override {
    return Call<absl::Status>([&] { return request_->Finish(); });
  }
  void Abort() override {
    OnLoop([&] { request_->Abort(); });
  }

  void Disconnect() override {
    OnLoop([&] { request_->Disconnect(); });
  }
  uint64_t number() const override { return request_->number(); }
  int client_fd() const override {
    int fd = -1;
    OnLoop([&] { fd = request_->client_fd(); });
    return fd;
  }
  void SetLogVariable(std::string_view name, std::string_view value) override {
    OnLoop([&] { request_->SetLogVariable(name, value); });
  }
  std::optional<std::string> LogVariable(std::string_view name) const override {
    std::optional<std::string> value;
    OnLoop([&] { value = request_->LogVariable(name); });
    return value;
  }

  void SetInterrupter(Interrupter* interrupter) override {
    application_->interrupter = interrupter;
    if (interrupter != nullptr && application_->early) std::exchange(application_->early, nullptr)(interrupter);
  }
  int64_t started_ns() const override { return started_ns_; }
  int64_t deadline_ns() const override {
    return application_->deadline_ns.load(std::memory_order_relaxed);  // nobody else sets it
  }
  void SetTimeout(int64_t timeout_ns) override {
    OnLoop([&] {
      request_->SetTimeout(timeout_ns);
      application_->deadline_ns.store(request_->deadline_ns(), std::memory_order_relaxed);
    });
  }
  void SetCancelOnDisconnect(bool cancel) override {
    OnLoop([&] { request_->SetCancelOnDisconnect(cancel); });
  }
  void BeginClose() override {
    OnLoop([&] { request_->BeginClose(); });
  }
  pyhost::CutShort cut_short() const override {
    pyhost::CutShort cut_short = pyhost::CutShort::kNo;
    if (application_->asked_count.load(std::memory_order_relaxed) == 0) return cut_short;
    OnLoop([&] { cut_short = request_->cut_short(); });
    return cut_short;
  }

 private:
  void OnLoop(absl::FunctionRef<void()> call) const {
    DieInForkedChild();
    const pyhost::ScopedGilPause pause;
    core_->call_ = &call;
    core_->turn_.store(Turn::kLoop, std::memory_order_release);
    core_->scheduler_->UnparkRemote(core_->green_thread_);
    core_->AwaitTurn(Turn::kThread);
  }

  template <typename Result, typename F>
  Result Call(F function) {
    std::optional<Result> result;
    OnLoop([&] { result.emplace(function()); });
    if (IsCancelled(*result)) AwaitTold();
    return *std::move(result);
  }
  static bool IsCancelled(const absl::Status& status) { return absl::IsCancelled(status); }
  template <typename T>
  static bool IsCancelled(const absl::StatusOr<T>& result) {
    return absl::IsCancelled(result.status());
  }

  // The exception is on its way: who looks for it next is to find it.
  void AwaitTold() {
    const pyhost::ScopedGilPause pause;
    const uint32_t asked = application_->asked_count.load(std::memory_order_relaxed);
    for (uint32_t told; (told = application_->told_count.load(std::memory_order_acquire)) < asked;) {
      FutexWait(application_->told_count, told);
    }
  }

  ThreadCore* const core_;
  HttpExchange* const request_;
  const std::shared_ptr<ApplicationState> application_;
  const int64_t started_ns_;
};

ThreadCore::ThreadCore(green::Scheduler* scheduler, pyhost::GilErrands* errands, size_t stack_size_bytes, Handle handle)
    : scheduler_(scheduler),
      errands_(errands),
      stack_size_bytes_(std::max(stack_size_bytes, kStackSizeBytesMin)),
      handle_(std::move(handle)),
      green_thread_(scheduler->current()) {}

ThreadCore::~ThreadCore() {
  if (!started_) return;
  if (turn_.load(std::memory_order_acquire) == Turn::kLost) {
    GREENRING_CHECK(pthread_detach(thread_) == 0);
    return;
  }
  request_ = nullptr;
  turn_.store(Turn::kThread, std::memory_order_release);
  FutexWake(&turn_);
  GREENRING_CHECK(pthread_join(thread_, nullptr) == 0);  // parks
}

absl::Status ThreadCore::StartThread() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { in_forked_child = true; });
  GREENRING_CHECK(registered == 0);
  pthread_attr_t attributes;
  GREENRING_CHECK(pthread_attr_init(&attributes) == 0);
  GREENRING_CHECK(pthread_attr_setstacksize(&attributes, stack_size_bytes_) == 0);
  GREENRING_CHECK(pthread_attr_setguardsize(&attributes, green::OsThreadStack::kGuardBytes) == 0);
  int error_number;
  {
    const pyhost::ScopedThreadSignals signals;
    error_number = pthread_create(&thread_, &attributes, &ThreadCore::ThreadMain, this);
  }
  pthread_attr_destroy(&attributes);
  if (error_number != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot start an OS thread for a core: ", strerror(error_number),
                     "; lower the number of cores, or raise the limits (ulimit -u, the cgroup's pids.max)"));
  }
  pthread_setname_np(thread_, "core");
  started_ = true;
  return absl::OkStatus();
}

absl::Status ThreadCore::Serve(HttpExchange* request) {
  LoopInterrupter interrupter(this);
  request_ = request;
  application_ = std::make_shared<ApplicationState>();
  application_->deadline_ns.store(request->deadline_ns(), std::memory_order_relaxed);
  if (!started_) {
    absl::Status started = StartThread();
    if (!started.ok()) return started;
  }
  const green::ScopedWait noted(green_thread_, {.call = "OS thread", .kind = green::WaitNote::Kind::kOsThread});
  request->SetInterrupter(&interrupter);
  request->SetOsThread(&core_thread_.os_thread());
  for (;;) {
    call_ = nullptr;
    turn_.store(Turn::kThread, std::memory_order_release);
    FutexWake(&turn_);
    Turn turn;
    while ((turn = turn_.load(std::memory_order_acquire)) == Turn::kThread) scheduler_->ParkUncancellable();
    if (turn == Turn::kLost) {
      ForgetApplication();
      request->SetInterrupter(nullptr);
      request->SetOsThread(nullptr);
      return absl::DataLossError("the stack of its OS thread overflowed; the request is lost");
    }
    if (call_ == nullptr) break;
    interrupter.in_call = true;
    (*call_)();
    interrupter.in_call = false;
    scheduler_->ClearCancel();  // what was to be ended has ended: clean-up may wait again
  }
  request->SetInterrupter(nullptr);
  request->SetOsThread(nullptr);
  return absl::OkStatus();
}

void* ThreadCore::ThreadMain(void* core) {
  static_cast<ThreadCore*>(core)->RunThread();
  return nullptr;
}

void ThreadCore::AwaitTurn(Turn turn) {
  for (Turn now; (now = turn_.load(std::memory_order_acquire)) != turn;) FutexWait(turn_, now);
}

void ThreadCore::RunThread() {
  const green::OsThreadStack stack([](void* core) { static_cast<ThreadCore*>(core)->OnStackLost(); }, this);
  AwaitTurn(Turn::kThread);
  const pyhost::ScopedOsThreadState python;
  core_thread_.Begin(pyhost::PythonOsThread::Current());
  while (request_ != nullptr) {
    {
      RemoteExchange exchange(this);
      handle_(request_, &exchange);
    }
    DieInForkedChild();
    const pyhost::ScopedGilPause pause;
    core_thread_.BeginAccounts();  // of the next one: to wake up for it is its own
    turn_.store(Turn::kLoop, std::memory_order_release);
    scheduler_->UnparkRemote(green_thread_);
    AwaitTurn(Turn::kThread);
  }
  core_thread_.End();
}

// Nothing here waits for anybody but the GIL's own lock.
void ThreadCore::OnStackLost() {
  pyhost::AbandonGil();
  turn_.store(Turn::kLost, std::memory_order_release);
  scheduler_->UnparkRemote(green_thread_);
}

// Errands that are under way find it as it was: the lost stack stays where it is.
void ThreadCore::ForgetApplication() {
  errands_->Post([application = application_] {
    application->interrupter = nullptr;
    application->early = nullptr;
  });
}

std::string ThreadCore::DescribeLostStack() const {
  const pyhost::PythonOsThread* const python = core_thread_.python();
  return python != nullptr ? pyhost::DescribeAbandonedStack(python->state()) : "";
}

}  // namespace greenring::worker
