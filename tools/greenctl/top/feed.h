// What keeps a Model up to date: threads that watch the server, ask it every interval, and do what keys ask for. When
// the server is gone they try again until it is back.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tools/greenctl/client.h"
#include "tools/greenctl/top/model.h"

namespace greenring::greenctl {

// A model that several threads use.
struct SharedModel {
  explicit SharedModel(std::string address) : model(std::move(address)) {}

  absl::Mutex mutex;
  Model model ABSL_GUARDED_BY(mutex);
};

class Feed {
 public:
  // `pools`, full names; empty: all. `client` and `shared` must outlive it.
  Feed(Client* client, std::vector<std::string> pools, absl::Duration interval, SharedModel* shared);

  // Ends the threads, and every call of `client`.
  ~Feed();

  // kCancel or kShowStack, later. Never blocks.
  void Do(const Model::Action& action);

 private:
  void WatchStatistics();
  void Poll();
  void Ask();
  void Perform(const Model::Action& action);
  // False when it is to end.
  bool Sleep(absl::Duration duration);

  Client* const client_;
  const std::vector<std::string> pools_;
  const absl::Duration interval_;
  SharedModel* const shared_;
  Cancellation watch_;

  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Model::Action> actions_ ABSL_GUARDED_BY(mutex_);

  std::thread watcher_;  // last: they use the others
  std::thread poller_;
};

}  // namespace greenring::greenctl
