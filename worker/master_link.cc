#include "worker/master_link.h"

#include <errno.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/descriptor_message.h"
#include "green/scoped_wait.h"
#include "green/wait_note.h"
#include "ioloop/io.h"
#include "worker/descriptors.h"

namespace greenring::worker {
namespace {

using v1::FromWorker;
using v1::ToWorker;

constexpr size_t kReceiveBytes = 16 * 1024;

// How long one send may wait before it is seen whether there is still a reason to.
constexpr int64_t kSendSliceNs = 100 * kNanosecondsPerMillisecond;

// Which requests are at work changes all the time, and is reported: what counts here is which cores there are.
bool IsSame(const FromWorker::Observed& a, const FromWorker::Observed& b) {
  return std::equal(a.generations().begin(), a.generations().end(), b.generations().begin(), b.generations().end(),
                    [](const auto& x, const auto& y) {
                      return x.generation() == y.generation() && x.workers() == y.workers() && x.cores() == y.cores();
                    });
}

}  // namespace

void MasterLink::Start(const FromWorker::Ready& ready, std::function<void()> on_ended) {
  on_ended_ = std::move(on_ended);
  room_.Set();
  FromWorker message;
  *message.mutable_ready() = ready;
  Say(message);
  look_ns_ = loop_->clock()->NowNs();
  report_ns_ = look_ns_ + kLookNs;
  listener_ = loop_->scheduler()->Spawn([this] { Listen(); }, {.name = "master link: listen"});
  talker_ = loop_->scheduler()->Spawn([this] { Talk(); }, {.name = "master link: talk"});
}

void MasterLink::LookForNews() {
  look_ns_ = 0;
  if (talker_ != nullptr) loop_->scheduler()->Unpark(talker_);
}

void MasterLink::SendUnfit(const std::string& reason, bool draining) {
  FromWorker message;
  message.mutable_unfit()->set_reason(reason);
  message.mutable_unfit()->set_draining(draining);
  Say(message);
}

void MasterLink::Ask(const v1::UwsgiCall& call, std::function<void(absl::StatusOr<v1::UwsgiAnswer>)> done) {
  if (gone_ || stopping_) {
    return done(absl::UnavailableError(gone_ ? "the master has gone" : "the worker ends"));
  }
  FromWorker message;
  message.set_id(++last_id_);
  *message.mutable_uwsgi_call() = call;
  questions_[message.id()] = std::move(done);
  Say(message);
}

void MasterLink::OnAnswer(int64_t id, absl::StatusOr<v1::UwsgiAnswer> answer) {
  const auto question = questions_.extract(id);
  if (!question.empty()) question.mapped()(std::move(answer));
}

void MasterLink::AnswerAll(const absl::Status& status) {
  while (!questions_.empty()) OnAnswer(questions_.begin()->first, status);
}

void MasterLink::Stop() {
  stopping_ = true;
  AnswerAll(absl::UnavailableError("the worker ends"));
  stop_deadline_ns_ = loop_->clock()->NowNs() + kLastWordsNs;
  if (listener_ != nullptr) loop_->scheduler()->Cancel(listener_);
  if (talker_ != nullptr) loop_->scheduler()->Unpark(talker_);
  if (listener_ == nullptr && talker_ == nullptr) on_ended_();
}

void MasterLink::OnGone(const std::string& why) {
  if (gone_) return;
  gone_ = true;
  queued_.clear();
  room_.Set();
  AnswerAll(absl::UnavailableError("the master has gone"));
  if (talker_ != nullptr) loop_->scheduler()->Unpark(talker_);
  if (!stopping_) handler_->OnMasterGone(why);
}

void MasterLink::OnThreadEnded() {
  if (stopping_ && listener_ == nullptr && talker_ == nullptr) on_ended_();
}

// ---- listening -----------------------------------------------------------------------------------------------------

// Not on the stack, which may be small.
struct MasterLink::ReceiveBuffer {
  char bytes[kReceiveBytes];
  std::optional<DescriptorMessage> message;
};

// The link's waits are none of the application's, which are what is counted (Scheduler::park_counts).
void MasterLink::Listen() {
  const green::ScopedWait noted(listener_, {.call = "master link", .kind = green::WaitNote::Kind::kIdle});
  const std::unique_ptr<ReceiveBuffer> buffer(new ReceiveBuffer);
  absl::Status status = TakeMessages();
  while (status.ok() && !stopping_ && !gone_) {
    status = Receive(buffer.get());
    if (status.ok()) status = TakeMessages();
  }
  if (!status.ok() && !stopping_) OnGone(std::string(status.message()));
  listener_ = nullptr;
  OnThreadEnded();
}

// Descriptors come with the bytes of the message that they belong to, or before its rest: the kernel ends what it gives
// behind a piece that has some.
absl::Status MasterLink::Receive(ReceiveBuffer* buffer) {
  DescriptorMessage& message = buffer->message.emplace(buffer->bytes, sizeof(buffer->bytes));
  const int32_t received = ioloop::RecvMsg(loop_, fd_.get(), message.header(), MSG_CMSG_CLOEXEC);
  // A reset is a close, too, by one who had not read everything.
  if (received == 0 || received == -ECONNRESET) return absl::UnavailableError("it has closed the link");
  if (received < 0) return absl::UnavailableError(absl::StrCat("the link is broken: ", std::strerror(-received)));
  message.Take(&descriptors_);
  if (message.lost_descriptors()) {
    return absl::ResourceExhaustedError(
        "the sockets that it has sent could not be taken over: too many, or a limit of open files (ulimit -n) is too "
        "low");
  }
  decoder_.Append({buffer->bytes, static_cast<size_t>(received)});
  return absl::OkStatus();
}

absl::Status MasterLink::TakeMessages() {
  using Result = protocol::FrameDecoder::Result;
  std::string_view payload;
  for (;;) {
    if (stopping_ || gone_) return absl::OkStatus();
    if (room_.Wait() != green::WaitResult::kDone) return absl::OkStatus();
    const Result result = decoder_.Next(&payload);
    if (result == Result::kMore) break;
    ToWorker message;
    if (result == Result::kTooLong || !message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
      return absl::InvalidArgumentError("it has sent what is no message");
    }
    if (message.has_routes()) {
      if (absl::Status status = TakeRoutes(message.routes()); !status.ok()) return status;
    } else {
      Dispatch(message);
    }
  }
  if (!decoder_.at_boundary() || descriptors_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("it has sent ", descriptors_.size(), " sockets that no message has named"));
}

absl::Status MasterLink::TakeRoutes(const ToWorker::Routes& routes) {
  const size_t named = DescriptorsOf(routes);
  if (named > descriptors_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has named ", named, " sockets of pools, and sent ", descriptors_.size()));
  }
  handler_->SetRoutes(routes, TakeFirst(&descriptors_, named));
  return absl::OkStatus();
}

void MasterLink::Dispatch(const ToWorker& message) {
  FromWorker answer;
  const int64_t id = message.id();
  switch (message.what_case()) {
    case ToWorker::kApply: {
      const absl::Status status = handler_->Apply(message.apply());
      answer.mutable_applied();
      Answer(id, status, std::move(answer));
      return LookForNews();
    }
    case ToWorker::kListRequests: {
      const absl::Status status = handler_->ListRequests(message.list_requests(), answer.mutable_request_list());
      return Answer(id, status, std::move(answer));
    }
    case ToWorker::kGetStack: {
      const absl::Status status = handler_->GetStack(message.get_stack(), answer.mutable_stack_text());
      return Answer(id, status, std::move(answer));
    }
    case ToWorker::kCancelRequest: {
      const absl::Status status = handler_->CancelRequest(message.cancel_request());
      answer.mutable_cancelled();
      return Answer(id, status, std::move(answer));
    }
    case ToWorker::kStopAccepting: {
      answer.mutable_stopped();
      const auto done = [this, id, answer] { Answer(id, absl::OkStatus(), answer); };
      const absl::Status status = handler_->StopAccepting(message.stop_accepting(), done);
      if (!status.ok()) Answer(id, status, std::move(answer));
      return;
    }
    case ToWorker::kDrain:
      handler_->Drain(message.drain());
      return LookForNews();
    case ToWorker::kDump:
      return handler_->Dump();
    case ToWorker::kUwsgiSignal:
      handler_->TakeSignal(message.uwsgi_signal().signal());
      answer.mutable_signal_taken();
      return Answer(id, absl::OkStatus(), std::move(answer));
    case ToWorker::kUwsgiAnswer:
      return OnAnswer(message.answer_to(), message.uwsgi_answer());
    case ToWorker::kStart:
    case ToWorker::kRoutes:
    case ToWorker::WHAT_NOT_SET:
      break;
  }
  Answer(id, absl::UnimplementedError("the worker does not know this message"), std::move(answer));
}

void MasterLink::Answer(int64_t id, const absl::Status& status, FromWorker answer) {
  if (!status.ok()) {
    FromWorker::Refused* const refused = answer.mutable_refused();
    refused->set_not_found(absl::IsNotFound(status));
    refused->set_message(std::string(status.message()));
  }
  answer.set_answer_to(id);
  Say(answer);
}

// ---- talking -------------------------------------------------------------------------------------------------------

void MasterLink::Say(const FromWorker& message) {
  if (gone_) return;
  if (!protocol::AppendFrame(&queued_, [&message](std::string* out) { return message.AppendToString(out); })) {
    FromWorker refusal;
    refusal.set_answer_to(message.answer_to());
    refusal.mutable_refused()->set_message("the answer is too long; ask for less");
    protocol::AppendFrame(&queued_, [&refusal](std::string* out) { return refusal.AppendToString(out); });
  }
  if (queued_.size() > kBacklogBytesMax) room_.Reset();
  if (talker_ != nullptr) loop_->scheduler()->Unpark(talker_);
}

void MasterLink::Talk() {
  const green::ScopedWait noted(talker_, {.call = "master link", .kind = green::WaitNote::Kind::kIdle});
  bool last_words = false;
  while (!gone_) {
    const int64_t now_ns = loop_->clock()->NowNs();
    if (!queued_.empty()) {
      if (!SendQueued() || now_ns > stop_deadline_ns_) break;
    } else if (last_words) {
      break;
    } else if (stopping_ || now_ns >= look_ns_) {
      last_words = stopping_;
      GatherNews(last_words);
    } else {
      loop_->scheduler()->ParkUncancellable(look_ns_);
    }
  }
  talker_ = nullptr;
  OnThreadEnded();
}

bool MasterLink::SendQueued() {
  // What is sent keeps its place in memory: the queue may grow meanwhile.
  std::string sending = std::exchange(queued_, {});
  size_t sent = 0;
  while (sent < sending.size() && !gone_) {
    const int64_t now_ns = loop_->clock()->NowNs();
    if (now_ns > stop_deadline_ns_) return false;
    const int32_t result = ioloop::Send(loop_, fd_.get(), sending.data() + sent, sending.size() - sent, MSG_NOSIGNAL,
                                        now_ns + kSendSliceNs);
    if (result >= 0) {
      sent += static_cast<size_t>(result);
    } else if (result != -ETIMEDOUT && result != -EINTR) {
      OnGone(absl::StrCat("the link is broken: ", std::strerror(-result)));
    }
  }
  if (queued_.size() <= kBacklogBytesMax) room_.Set();
  return true;
}

void MasterLink::GatherNews(bool last) {
  const int64_t now_ns = loop_->clock()->NowNs();
  FromWorker message;
  handler_->Observe(message.mutable_observed());
  look_ns_ = now_ns + (message.observed().generations_size() > 1 ? kLookInChangeNs : kLookNs);
  if (!observed_told_ || !IsSame(message.observed(), observed_)) {
    observed_told_ = true;
    observed_ = message.observed();
    Say(message);
  }
  if (const int requests = handler_->DrainingRequests(); requests != draining_requests_) {
    draining_requests_ = requests;
    message.mutable_draining()->set_requests(requests);
    Say(message);
  }
  if (last || now_ns >= report_ns_) {
    report_ns_ = now_ns + kLookNs;
    if (handler_->Report(message.mutable_report())) Say(message);
  }
  look_ns_ = std::min(look_ns_, report_ns_);
}

}  // namespace greenring::worker
