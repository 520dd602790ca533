// A scheduler on a real ring, with the blocking calls of its green threads intercepted: for the tests of this folder.
//
//   PosixWorld world;
//   world.Run([&] { usleep(1000); });                    // on a green thread; returns when it has ended
//   world.Go([&] { read(fds[0], &byte, 1); });           // any number beside each other
//   world.Go([&] { write(fds[1], "x", 1); });
//   world.RunAll();
//
// At its end nothing may be in flight.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include "base/check.h"
#include "green/scheduler.h"
#include "ioloop/event_loop.h"
#include "ioloop/posix/interposer.h"
#include "ioloop/uring.h"

namespace greenring::posix {

class PosixWorld {
 public:
  explicit PosixWorld(const green::SchedulerOptions& options = {})
      : ring_(ioloop::Uring::Create({}).value()), scheduler_(options), loop_(ring_.get(), &scheduler_) {}

  ~PosixWorld() { GREENRING_CHECK(ring_->in_flight() == 0); }

  // Makes a green thread that runs `function` when RunAll is called, or at once if it was. Not thread-safe.
  green::GreenThread* Go(std::function<void()> function, const green::SpawnOptions& options = {}) {
    ++live_;
    auto* kept = new std::function<void()>(std::move(function));
    return scheduler_.Spawn(
        [this, kept] {
          (*kept)();
          delete kept;
          if (--live_ == 0) scheduler_.Stop();
        },
        options);
  }

  // Runs until every green thread of Go has ended.
  void RunAll() {
    ScopedInterception interception(&loop_);
    if (live_ > 0) scheduler_.Run(&loop_);
  }

  void Run(std::function<void()> function) {
    Go(std::move(function));
    RunAll();
  }

  green::Scheduler* scheduler() { return &scheduler_; }
  ioloop::EventLoop* loop() { return &loop_; }
  ioloop::Ring* ring() { return ring_.get(); }

 private:
  std::unique_ptr<ioloop::Uring> ring_;
  green::Scheduler scheduler_;
  ioloop::EventLoop loop_;
  size_t live_ = 0;
};

}  // namespace greenring::posix
