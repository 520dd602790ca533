#include "worker/uwsgi_link.h"

#include <errno.h>
#include <sys/socket.h>

#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/descriptor_message.h"
#include "green/scoped_wait.h"
#include "green/wait_note.h"
#include "protocol/frame.h"
#include "pyhost/gil.h"

namespace greenring::worker {
namespace {

using v1::FromWorker;
using v1::ToWorker;
using v1::UwsgiAnswer;
using v1::UwsgiCall;

constexpr size_t kReceiveBytes = 4096;

absl::Status MasterIsGone() { return absl::UnavailableError("the master has gone"); }

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void AppendPayload(std::string* frames, std::string_view payload) {
  protocol::AppendFrame(frames, [payload](std::string* out) { return out->append(payload), true; });
}

}  // namespace

absl::StatusOr<UwsgiAnswer> UwsgiLink::Ask(const UwsgiCall& call) {
  if (master_ == nullptr) {
    return absl::UnavailableError("there is no master to ask: start the server without --master=off");
  }
  if (link_ == nullptr) return AskBeforeLoop(call);
  Question question = {.call = call, .wait = std::make_shared<Wait>()};
  const std::shared_ptr<Wait> wait = question.wait;
  if (green::Scheduler::Current() == scheduler_) {
    Send(std::move(question));
  } else {
    const absl::MutexLock lock(&mutex_);
    if (asker_ == nullptr) return absl::UnavailableError("the worker ends");
    from_others_.push_back(std::move(question));
    scheduler_->UnparkRemote(asker_);
  }
  std::optional<absl::StatusOr<UwsgiAnswer>> answer = wait->Take();
  if (answer.has_value()) return *std::move(answer);
  answer = wait->TakeLate();
  if (answer.has_value() && answer->ok() && (*answer)->code() == 0) GiveBack(call);
  return absl::CancelledError("the wait for the master's answer was interrupted");
}

// ---- before the loop -----------------------------------------------------------------------------------------------

absl::StatusOr<UwsgiAnswer> UwsgiLink::AskBeforeLoop(const UwsgiCall& call) {
  const pyhost::ScopedGilRelease release;
  const absl::MutexLock lock(&mutex_);
  if (taken_over_) return absl::UnavailableError("the worker is about to serve: ask again when it does");
  return Exchange(call);
}

absl::StatusOr<UwsgiAnswer> UwsgiLink::Exchange(const UwsgiCall& call) {
  FromWorker message;
  message.set_id(++last_id_);
  *message.mutable_uwsgi_call() = call;
  std::string frame;
  if (!protocol::AppendFrame(&frame, [&message](std::string* out) { return message.AppendToString(out); })) {
    return absl::InvalidArgumentError("it is too long for the master");
  }
  if (!SendAll(master_->link.get(), frame)) return MasterIsGone();
  std::optional<UwsgiAnswer> answer;
  std::string kept;
  while (!answer.has_value() || !master_->decoder.at_boundary()) {
    std::string_view payload;
    const protocol::FrameDecoder::Result result = master_->decoder.Next(&payload);
    if (result == protocol::FrameDecoder::Result::kTooLong) return MasterIsGone();
    if (result == protocol::FrameDecoder::Result::kMore) {
      if (absl::Status status = ReceiveMore(); !status.ok()) return status;
      continue;
    }
    ToWorker received;
    const bool parsed = received.ParseFromArray(payload.data(), static_cast<int>(payload.size()));
    if (parsed && received.has_uwsgi_answer() && received.answer_to() == message.id()) {
      answer = std::move(*received.mutable_uwsgi_answer());
    } else {
      AppendPayload(&kept, payload);  // the loop says what is wrong with it, if anything is
    }
  }
  if (!kept.empty()) {
    master_->decoder = protocol::FrameDecoder();
    master_->decoder.Append(kept);
  }
  return *std::move(answer);
}

absl::Status UwsgiLink::ReceiveMore() {
  char bytes[kReceiveBytes];
  DescriptorMessage message(bytes, sizeof(bytes));
  const ssize_t received = recvmsg(master_->link.get(), message.header(), MSG_CMSG_CLOEXEC);
  if (received < 0 && errno == EINTR) return absl::OkStatus();
  if (received <= 0) return MasterIsGone();
  message.Take(&master_->descriptors);
  master_->decoder.Append({bytes, static_cast<size_t>(received)});
  return absl::OkStatus();
}

// ---- with the loop -------------------------------------------------------------------------------------------------

void UwsgiLink::TakeOver(green::Scheduler* scheduler, const std::function<MasterLink*()>& make) {
  const absl::MutexLock lock(&mutex_);
  taken_over_ = true;
  scheduler_ = scheduler;
  asker_ = scheduler->Spawn([this] { ServeOtherThreads(); }, {.name = "uwsgi, from other threads"});
  link_ = make();
}

void UwsgiLink::Stop() {
  stopping_ = true;
  const absl::MutexLock lock(&mutex_);
  if (asker_ != nullptr) scheduler_->Unpark(asker_);
}

void UwsgiLink::ServeOtherThreads() {
  for (;;) {
    std::deque<Question> questions;
    {
      const absl::MutexLock lock(&mutex_);
      questions.swap(from_others_);
      if (stopping_ && questions.empty()) {
        asker_ = nullptr;
        return;
      }
    }
    for (Question& question : questions) Send(std::move(question));
    if (!questions.empty()) continue;
    const green::ScopedWait noted(scheduler_->current(), {.call = "errands", .kind = green::WaitNote::Kind::kIdle});
    scheduler_->ParkUncancellable();
  }
}

void UwsgiLink::Send(Question question) {
  link_->Ask(question.call, [this, question](absl::StatusOr<UwsgiAnswer> answer) {
    const bool done = answer.ok() && answer->code() == 0;
    if (!question.wait->Set(std::move(answer)) && done) GiveBack(question.call);
  });
}

// A lock was granted to somebody who does not wait any more.
void UwsgiLink::GiveBack(const UwsgiCall& call) {
  if (!call.has_lock()) return;
  Question unlock = {.call = {}, .wait = std::make_shared<Wait>()};
  unlock.call.mutable_unlock()->set_lock(call.lock().lock());
  if (green::Scheduler::Current() == scheduler_) return Send(std::move(unlock));
  const absl::MutexLock lock(&mutex_);
  if (asker_ == nullptr) return;
  from_others_.push_back(std::move(unlock));
  scheduler_->UnparkRemote(asker_);
}

}  // namespace greenring::worker
