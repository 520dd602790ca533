#include "worker/hub_core.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"

namespace greenring::worker {
namespace {

// Of a request's target, in the name of its greenlet.
constexpr size_t kTargetBytesMax = 200;

std::string NameOf(const HttpExchange& request) {
  return absl::StrCat("request ", request.number(), " ", std::string(request.head().method), " ",
                      std::string(request.head().target.substr(0, kTargetBytesMax)));
}

}  // namespace

// In any context of the loop's OS thread; hands on what it is told.
class HubCore::LoopInterrupter final : public pyhost::Exchange::Interrupter {
 public:
  using Interrupter = pyhost::Exchange::Interrupter;

  // On the greenlet: nullptr from its end on.
  void SetApplication(Interrupter* application) {
    application_ = application;
    if (application != nullptr && early_) std::exchange(early_, nullptr)(application);
  }

  void OnCutShort(pyhost::CutShort reason) override {
    Tell([reason](Interrupter* application) { application->OnCutShort(reason); });
  }
  void OnCancelled(const std::string& reason) override {
    Tell([reason](Interrupter* application) { application->OnCancelled(reason); });
  }
  void OnOverdue() override {
    Tell([](Interrupter* application) { application->OnOverdue(); });
  }
  std::string PythonStack() override { return application_ != nullptr ? application_->PythonStack() : ""; }

 private:
  // Or keeps it until there is one.
  void Tell(std::function<void(Interrupter*)> what) {
    if (application_ != nullptr) {
      what(application_);
    } else {
      early_ = std::move(what);
    }
  }

  Interrupter* application_ = nullptr;
  std::function<void(Interrupter*)> early_;
};

// On the request's greenlet, or on another one of its hub that the application has given wsgi.input or write to.
class HubCore::GreenletExchange final : public pyhost::Exchange {
 public:
  GreenletExchange(pyhost::CoreGreenlet* greenlet, HttpExchange* request, LoopInterrupter* interrupter)
      : greenlet_(greenlet), request_(request), interrupter_(interrupter) {}

  absl::StatusOr<size_t> ReadBody(char* data, size_t size) override { return ReadBodyWithin(data, size, kNeverNs); }
  absl::StatusOr<size_t> ReadBodyWithin(char* data, size_t size, int64_t timeout_ns) override {
    if (!unread_.empty()) return TakeUnread(data, size);
    HttpExchange* const request = request_;
    absl::StatusOr<size_t> read =
        Call<absl::StatusOr<size_t>>([=] { return request->ReadBodyWithin(data, size, timeout_ns); });
    // It has read, but an exception comes first.
    if (was_thrown_ && read.ok()) {
      unread_.assign(data, *read);
      return Thrown();
    }
    return read;
  }
  int64_t chunk_left_bytes() const override { return request_->chunk_left_bytes(); }
  int64_t content_length() const override { return request_->content_length(); }
  absl::Status SendComplete(const protocol::ResponseEncoder& head, std::string_view body) override {
    if (HttpExchange::CompletesAtOnce(head, body)) return request_->SendComplete(head, body);
    return CallToSend([request = request_, head = &head, body] { return request->SendComplete(*head, body); });
  }
  absl::Status SendHead(const protocol::ResponseEncoder& head, int64_t body_bytes) override {
    return request_->SendHead(head, body_bytes);
  }
  absl::Status SendBody(std::string_view data) override {
    return CallToSend([request = request_, data] { return request->SendBody(data); });
  }
  absl::StatusOr<int64_t> SendFile(int fd, int64_t offset, int64_t size) override {
    absl::StatusOr<int64_t> sent =
        Call<absl::StatusOr<int64_t>>([=, request = request_] { return request->SendFile(fd, offset, size); });
    return was_thrown_ && sent.ok() ? Thrown() : sent;
  }
  absl::Status Flush() override { return request_->Flush(); }
  absl::Status Finish() override { return request_->Finish(); }
  void Abort() override { request_->Abort(); }
  void Disconnect() override { request_->Disconnect(); }

  uint64_t number() const override { return request_->number(); }
  int client_fd() const override { return request_->client_fd(); }
  void SetLogVariable(std::string_view name, std::string_view value) override { request_->SetLogVariable(name, value); }
  std::optional<std::string> LogVariable(std::string_view name) const override { return request_->LogVariable(name); }

  void SetInterrupter(Interrupter* interrupter) override {
    if (interrupter == nullptr) greenlet_->EndCalls();
    interrupter_->SetApplication(interrupter);
  }
  int64_t started_ns() const override { return request_->started_ns(); }
  int64_t deadline_ns() const override { return request_->deadline_ns(); }
  void SetTimeout(int64_t timeout_ns) override { request_->SetTimeout(timeout_ns); }
  void SetCancelOnDisconnect(bool cancel) override { request_->SetCancelOnDisconnect(cancel); }
  void BeginClose() override { request_->BeginClose(); }
  pyhost::CutShort cut_short() const override { return request_->cut_short(); }

 private:
  static absl::Status Thrown() { return absl::CancelledError("an exception was thrown into the greenlet"); }

  // The result is on the heap: the greenlet's stack is elsewhere when it comes.
  template <typename Result>
  Result Call(std::function<Result()> function) {
    const auto result = std::make_shared<std::optional<Result>>();
    const pyhost::CoreGreenlet::CallEnd end =
        greenlet_->OnLoop([result, function = std::move(function)] { result->emplace(function()); });
    was_thrown_ = end == pyhost::CoreGreenlet::CallEnd::kThrown;
    if (end == pyhost::CoreGreenlet::CallEnd::kRefused) {
      return absl::FailedPreconditionError("another greenlet of this request reads or sends already");
    }
    return *std::move(*result);
  }

  absl::Status CallToSend(std::function<absl::Status()> function) {
    absl::Status sent = Call<absl::Status>(std::move(function));
    return was_thrown_ && sent.ok() ? Thrown() : sent;
  }

  size_t TakeUnread(char* data, size_t size) {
    size = std::min(size, unread_.size());
    std::memcpy(data, unread_.data(), size);
    unread_.erase(0, size);
    return size;
  }

  pyhost::CoreGreenlet* const greenlet_;
  HttpExchange* const request_;
  LoopInterrupter* const interrupter_;
  std::string unread_;  // read for one that did not get it
  bool was_thrown_ = false;
};

HubCore::HubCore(pyhost::Hub* hub, Handle handle) : handle_(std::move(handle)), greenlet_(hub) {}

bool HubCore::Serve(HttpExchange* request) {
  LoopInterrupter interrupter;
  GreenletExchange exchange(&greenlet_, request, &interrupter);
  request->SetInterrupter(&interrupter);
  request->SetGreenlet(&greenlet_);
  const bool ran = greenlet_.Run(NameOf(*request), [this, request, &exchange] { handle_(request, &exchange); });
  request->SetInterrupter(nullptr);
  return ran;
}

absl::Status CheckEngine(CoreEngine engine) {
  if (engine == CoreEngine::kGreenlet) return pyhost::CheckGreenletHub();
  if (engine == CoreEngine::kGevent) return pyhost::CheckGeventHub();
  return absl::OkStatus();
}

}  // namespace greenring::worker
