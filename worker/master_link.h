// A worker's end of the link to its master, on the loop: questions are answered, news are told.
//
//   MasterLink link(&loop, std::move(fd), std::move(decoder), std::move(descriptors), &handler);
//   link.Start(ready, [&] { scheduler.Stop(); });
//   link.LookForNews();                // something that the handler tells of has changed
//   link.Stop();                       // last words; the function given to Start follows
//
// Two green threads: one reads and calls the handler, the other one writes. Nobody waits for the link: what is said is
// queued. A master that does not read gets no more reports until it does (the newest one then), and no more of its
// questions are read while kBacklogBytesMax of answers wait for it; an answer is never dropped.
//
// A master that is gone, or says what is no message, is told to the handler once; then nothing more is said. Loop's
// thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "green/scheduler.h"
#include "green/sync/event.h"
#include "greenring/worker/v1/link.pb.h"
#include "ioloop/event_loop.h"
#include "protocol/frame.h"

namespace greenring::worker {

class MasterLink {
 public:
  // What the worker can do and tell. Called on the link's green threads; may park, but then nothing else is answered.
  // The text of an error is for the operator (Refused); NOT_FOUND says that there is no such request.
  class Handler {
   public:
    virtual absl::Status Apply(const v1::ToWorker::Apply& apply) = 0;
    virtual absl::Status ListRequests(const v1::ToWorker::ListRequests& question,
                                      v1::FromWorker::RequestList* answer) = 0;
    virtual absl::Status GetStack(const v1::ToWorker::GetStack& question, v1::FromWorker::StackText* answer) = 0;
    virtual absl::Status CancelRequest(const v1::ToWorker::CancelRequest& cancel) = 0;
    // `done` is called when they have stopped, or at once; not after Stop.
    virtual absl::Status StopAccepting(const v1::ToWorker::StopAccepting& stop, std::function<void()> done) = 0;
    // `descriptors` are those of `routes`, as many as it says.
    virtual void SetRoutes(const v1::ToWorker::Routes& routes, std::vector<UniqueFd> descriptors) = 0;
    virtual void Drain(const v1::ToWorker::Drain& drain) = 0;
    virtual void Dump() = 0;
    // Hands the signal to the module `uwsgi`.
    virtual void TakeSignal(int signal) = 0;

    // The link is over; `why` in words. Not after Stop.
    virtual void OnMasterGone(const std::string& why) = 0;

    // ---- news: told when they differ from what was told last ----

    virtual void Observe(v1::FromWorker::Observed* observed) = 0;
    // How many requests a drain waits for; -1: there is no drain.
    virtual int DrainingRequests() = 0;
    // Once a second, and with the last words. False: there is nothing new.
    virtual bool Report(v1::FromWorker::Report* report) = 0;

   protected:
    ~Handler() = default;
  };

  // `decoder` and `descriptors` hold what has been received behind Start.
  MasterLink(ioloop::EventLoop* loop, UniqueFd fd, protocol::FrameDecoder decoder, std::vector<UniqueFd> descriptors,
             Handler* handler)
      : loop_(loop),
        fd_(std::move(fd)),
        decoder_(std::move(decoder)),
        descriptors_(std::move(descriptors)),
        handler_(handler) {}
  MasterLink(const MasterLink&) = delete;
  MasterLink& operator=(const MasterLink&) = delete;
  ~MasterLink() = default;  // its green threads have ended, or never run again

  // Says `ready`, then what is new. `on_ended` is called after Stop, when the last words have been taken or
  // kLastWordsNs has passed. Never parks.
  void Start(const v1::FromWorker::Ready& ready, std::function<void()> on_ended);

  // Tells what has changed now, not only with the next look. Never parks.
  void LookForNews();

  // The worker should be replaced. Never parks.
  void SendUnfit(const std::string& reason, bool draining);

  // `done` gets the answer, on a green thread of the link or in this call; UNAVAILABLE: the master has gone, or the
  // link has been stopped. It must not park. Never parks.
  void Ask(const v1::UwsgiCall& call, std::function<void(absl::StatusOr<v1::UwsgiAnswer>)> done);

  // Once, after Start. Never parks.
  void Stop();

  static constexpr int64_t kLookNs = kNanosecondsPerSecond;
  // While cores of more than one generation run: somebody waits for the last of the old ones.
  static constexpr int64_t kLookInChangeNs = 20 * kNanosecondsPerMillisecond;
  static constexpr int64_t kLastWordsNs = kNanosecondsPerSecond;
  static constexpr size_t kBacklogBytesMax = 1 << 20;
  // Of questions; smaller ones were asked before there was a link.
  static constexpr int64_t kFirstId = int64_t{1} << 32;

 private:
  void Listen();
  struct ReceiveBuffer;
  // What has been received is in the decoder. An error says why the link is over.
  absl::Status Receive(ReceiveBuffer* buffer);
  absl::Status TakeMessages();
  absl::Status TakeRoutes(const v1::ToWorker::Routes& routes);
  void Dispatch(const v1::ToWorker& message);
  void Answer(int64_t id, const absl::Status& status, v1::FromWorker answer);
  void Say(const v1::FromWorker& message);
  void Talk();
  bool SendQueued();
  void GatherNews(bool last);
  void OnGone(const std::string& why);
  void OnAnswer(int64_t id, absl::StatusOr<v1::UwsgiAnswer> answer);
  void AnswerAll(const absl::Status& status);
  void OnThreadEnded();

  ioloop::EventLoop* const loop_;
  const UniqueFd fd_;
  protocol::FrameDecoder decoder_;
  std::vector<UniqueFd> descriptors_;  // that came with bytes which the decoder still holds
  Handler* const handler_;
  std::function<void()> on_ended_;

  green::GreenThread* listener_ = nullptr;
  green::GreenThread* talker_ = nullptr;
  std::string queued_;  // whole frames, but for the first, of which a part may have been sent
  green::Event room_;   // in queued_

  v1::FromWorker::Observed observed_;  // as told last
  bool observed_told_ = false;
  int draining_requests_ = -1;
  int64_t look_ns_ = 0;    // when to look for news next
  int64_t report_ns_ = 0;  // and when to report

  int64_t last_id_ = kFirstId;
  std::map<int64_t, std::function<void(absl::StatusOr<v1::UwsgiAnswer>)>> questions_;

  bool gone_ = false;
  bool stopping_ = false;
  int64_t stop_deadline_ns_ = kNeverNs;
};

}  // namespace greenring::worker
