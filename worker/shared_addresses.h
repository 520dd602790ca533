// What a worker knows of the other pools that serve on its addresses: who serves what, where their workers take
// connections, and where it takes them itself.
//
//   SharedAddresses shared(&loop, &service, &error_log);
//   service.SetNeighbours(&shared);
//   shared.Apply(routes, std::move(descriptors));                            // as often as the master says
//
// Loop's thread only. Nothing parks.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "greenring/worker/v1/link.pb.h"
#include "ioloop/event_loop.h"
#include "worker/http_service.h"
#include "worker/inbox.h"
#include "worker/log.h"
#include "worker/neighbours.h"

namespace greenring::worker {

class SharedAddresses final : public Neighbours, private Inbox::Handler {
 public:
  SharedAddresses(ioloop::EventLoop* loop, HttpService* service, ErrorLog* error_log)
      : loop_(loop), service_(service), error_log_(error_log) {}
  SharedAddresses(const SharedAddresses&) = delete;
  SharedAddresses& operator=(const SharedAddresses&) = delete;
  // Checked by its members: it has stopped, or was never told of an inbox.
  ~SharedAddresses() = default;

  // From now on this holds instead of what was said before. `descriptors` are those of `routes`, in their order
  // (link.proto); how many is the caller's to check (DescriptorsOf). An entry whose pool is not named there is left
  // out, with a line in the error log. Once the listeners have been added.
  void Apply(const v1::ToWorker::Routes& routes, std::vector<UniqueFd> descriptors);

  absl::Status HandOver(int pool, const HandedConnection& connection) override;
  void Stop() override;
  bool stopped() const override { return inboxes_.empty(); }

 private:
  struct Pool {
    std::string name;
    UniqueFd inbox;
  };

  void OnHandedOver(HandedConnection connection) override { service_->TakeOver(std::move(connection)); }
  void OnLost(const std::string& why) override;
  void OnInboxStopped(Inbox* inbox) override;

  ioloop::EventLoop* const loop_;
  HttpService* const service_;
  ErrorLog* const error_log_;
  std::vector<Pool> pools_;                      // number 1 first
  std::vector<std::unique_ptr<Inbox>> inboxes_;  // the last one is the one that counts, the others are stopping
  bool stopping_ = false;
};

}  // namespace greenring::worker
