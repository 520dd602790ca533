// The seam between a worker's connections and the other pools that serve on the same addresses.
//
//   service.SetNeighbours(&neighbours);                 // then service.SetRoutes, as often as they change
//   ...
//   status = neighbours->HandOver(match.pool, connection);
//
// Loop's thread only. Nothing parks.
#pragma once

#include "absl/status/status.h"
#include "worker/hand_over.h"

namespace greenring::worker {

class Neighbours {
 public:
  // To the workers of `pool`, a number of the route tables that hold now. After an error, whose text is for the client
  // and the error log, the connection is still the caller's.
  virtual absl::Status HandOver(int pool, const HandedConnection& connection) = 0;

  // Takes over no more connections; HttpService::OnNeighboursStopped follows, unless it has stopped already. Others are
  // still handed over. Idempotent.
  virtual void Stop() = 0;

  // Nothing is taken over any more.
  virtual bool stopped() const = 0;

 protected:
  ~Neighbours() = default;
};

}  // namespace greenring::worker
