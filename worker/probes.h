// The paths at which the loop answers whether the worker lives and is ready, without a core and without Python.
//
//   ProbePaths probes{.liveness = "/livez", .readiness = "/readyz"};
//   switch (probes.Match(head)) ...
//
// Plain data. Never parks.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/request_head.h"

namespace greenring::worker {

enum class Probe : uint8_t {
  kNone,       // an ordinary request
  kLiveness,   // 200 while the loop turns
  kReadiness,  // 200, or 503 where a request would not be served
};

struct ProbePaths {
  std::string liveness;  // empty: none
  std::string readiness;

  // What `head` asks for: GET and HEAD of exactly that path, as it was received; a query does not matter.
  Probe Match(const protocol::RequestHead& head) const {
    if (liveness.empty() && readiness.empty()) return Probe::kNone;
    if (head.method != "GET" && head.method != "HEAD") return Probe::kNone;
    if (!liveness.empty() && head.path == liveness) return Probe::kLiveness;
    return !readiness.empty() && head.path == readiness ? Probe::kReadiness : Probe::kNone;
  }
};

}  // namespace greenring::worker
