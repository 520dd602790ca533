// A call that is answered by one message after the other, for as long as its client keeps up.
//
// What the client has not taken yet waits in a queue of bounded length. When that is full the oldest goes, and the
// client is told how many are missing, where they are missing. Thread-safe; never blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "control/service/open_calls.h"
#include "grpcpp/support/server_callback.h"

namespace greenring::control {

template <typename Response>
class WriteStream final : public grpc::ServerWriteReactor<Response>, public OpenCall {
 public:
  struct Options {
    size_t queue_length_max = 1024;
    // What the client is sent in place of what was dropped; null: nothing.
    std::function<Response(int64_t count)> lost;
    // Called once, on any thread, when the stream has ended, whoever has ended it.
    std::function<void()> ended;
  };

  static std::shared_ptr<WriteStream> Begin(std::shared_ptr<OpenCalls> calls, Options options) {
    std::shared_ptr<WriteStream> stream(new WriteStream(calls, std::move(options)));
    calls->Add(stream);
    return stream;
  }

  // Sends `response` after what waits. If it has to be dropped, `count` more are lost.
  void Push(Response response, int64_t count = 1) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (ending_) return;
      if (queue_.size() >= options_.queue_length_max) {
        lost_ += queue_.front().count;
        queue_.pop_front();
      }
      queue_.push_back({std::move(response), count});
    }
    Continue();
  }

  // `count` were lost before they came here.
  void AddLost(int64_t count) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      lost_ += count;
    }
    Continue();
  }

  // Whether it goes on.
  bool open() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return !ending_;
  }

  // Whether the client has taken everything.
  bool idle() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return queue_.empty() && !writing_;
  }

  // Ends with `status` after what waits.
  void End(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_) { BeginEnd(status, /*drop=*/false); }

  // Ends with `status` at once, or when the message that is on its way has been taken.
  void Abort(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_) { BeginEnd(status, /*drop=*/true); }

 private:
  struct Waiting {
    Response response;
    int64_t count;
  };

  WriteStream(std::shared_ptr<OpenCalls> calls, Options options)
      : calls_(std::move(calls)), options_(std::move(options)) {}

  void BeginEnd(const grpc::Status& status, bool drop) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (drop) {
        queue_.clear();
        lost_ = 0;
      }
      if (!ending_) {
        ending_ = true;
        status_ = status;
      }
    }
    Continue();
  }

  // Starts the next write, or the end, unless a write is on its way: gRPC takes one at a time.
  void Continue() ABSL_LOCKS_EXCLUDED(mutex_) {
    bool finish = false;
    grpc::Status status;
    {
      absl::MutexLock lock(&mutex_);
      if (writing_ || finished_) return;
      if (lost_ > 0 && options_.lost) {
        current_ = options_.lost(std::exchange(lost_, 0));
        writing_ = true;
      } else if (!queue_.empty()) {
        current_ = std::move(queue_.front().response);
        queue_.pop_front();
        writing_ = true;
      } else if (ending_) {
        finish = finished_ = true;
        status = status_;
      } else {
        return;
      }
    }
    // Without the lock: gRPC may call back from within. Nobody else gets here before it has.
    if (finish) {
      this->Finish(status);
    } else {
      this->StartWrite(&current_);
    }
  }

  void OnWriteDone(bool ok) override {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
    }
    if (ok) {
      Continue();
    } else {
      Abort(grpc::Status::CANCELLED);
    }
  }

  void OnCancel() override { Abort(grpc::Status::CANCELLED); }

  void OnDone() override {
    if (options_.ended) options_.ended();
    calls_->Remove(this);
  }

  const std::shared_ptr<OpenCalls> calls_;
  const Options options_;
  mutable absl::Mutex mutex_;
  std::deque<Waiting> queue_ ABSL_GUARDED_BY(mutex_);
  int64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
  Response current_;  // while `writing_`, gRPC's
};

}  // namespace greenring::control
