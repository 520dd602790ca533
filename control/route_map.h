// Which pool serves what where pools share addresses: what each pool's workers have to know of it.
//
//   std::map<std::string, worker::v1::ToWorker::Routes> routes = RoutesOf({{.name = "pools/web", ...}, ...});
//
// Pure: the same pools have the same routes, byte by byte. Thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "greenring/control/v1/pool.pb.h"
#include "greenring/worker/v1/link.pb.h"

namespace greenring::control {

struct RoutedPool {
  std::string name = {};
  std::vector<v1::Route> routes = {};       // empty: all that no other pool's route takes
  std::vector<std::string> addresses = {};  // as bound; of a pool that goes, until its workers have gone
  bool deleting = false;                    // nothing is its own any more, but it still gets rid of what comes in
};

// By pool. Of `pools` in it each one's sending end travels with the message, in that order; with has_inbox its own
// receiving end before them. Pools that share nothing and have no routes have empty messages.
std::map<std::string, worker::v1::ToWorker::Routes> RoutesOf(const std::vector<RoutedPool>& pools);

}  // namespace greenring::control
