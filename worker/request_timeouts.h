// How long requests may take, by their path: --request_timeout.
//
//   RequestTimeouts timeouts;
//   timeouts.Set("", 30 * kNanosecondsPerSecond);              // all requests
//   timeouts.Set("/export", 300 * kNanosecondsPerSecond);      // /export and what is below it
//   timeouts.For("/export/2026") == 300 * kNanosecondsPerSecond
//
// Plain data; the number of prefixes is what an operator types. Never parks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace greenring::worker {

class RequestTimeouts {
 public:
  // For the path `prefix` and what is below it; "" is every path. The longest prefix wins; of two that are equal, the
  // last one. 0: no timeout.
  void Set(std::string_view prefix, int64_t timeout_ns) {
    if (timeout_ns == 0) timeout_ns = kNeverNs;
    if (prefix.empty()) {
      default_ns_ = timeout_ns;
      return;
    }
    const auto place = std::find_if(prefixes_.begin(), prefixes_.end(),
                                    [prefix](const Prefix& other) { return other.text.size() <= prefix.size(); });
    prefixes_.insert(place, {std::string(prefix), timeout_ns});
  }

  // Of a request for `path`, raw as it was received; kNeverNs: none.
  int64_t For(std::string_view path) const {
    for (const Prefix& prefix : prefixes_) {
      if (Covers(prefix.text, path)) return prefix.timeout_ns;
    }
    return default_ns_;
  }

 private:
  struct Prefix {
    std::string text;
    int64_t timeout_ns;
  };

  // "/a" covers "/a" and "/a/b", not "/ab"; "/a/" covers "/a/b" only.
  static bool Covers(std::string_view prefix, std::string_view path) {
    if (path.substr(0, prefix.size()) != prefix) return false;
    return path.size() == prefix.size() || prefix.back() == '/' || path[prefix.size()] == '/';
  }

  int64_t default_ns_ = kNeverNs;
  std::vector<Prefix> prefixes_;  // the longest first
};

}  // namespace greenring::worker
