// Which pool a request belongs to, where several pools share a listening socket.
//
//   RouteTable routes;
//   routes.Add({.host = "shop.example.com", .path_prefix = "/api"}, 1);
//   routes.Add({}, RouteTable::kOwnPool);                         // all that no other route takes
//   RouteTable::Match match = routes.Find(head.host, head.path);  // match.pool, match.prefix_bytes
//
// A host wins over none, an exact one over "*.example.com", a longer pattern over a shorter one; then the longer path
// prefix. Plain data; the number of routes is what an operator types. Never parks.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace greenring::worker {

struct RoutePattern {
  std::string host = "";         // without port, in any case; "*.example.com": what is below it; empty: any
  std::string path_prefix = "";  // whole segments, without a '/' at its end, decoded; empty: any path
};

class RouteTable {
 public:
  static constexpr int kNoPool = -1;
  static constexpr int kOwnPool = 0;  // others have numbers from 1 on

  struct Match {
    int pool = kNoPool;
    size_t prefix_bytes = 0;  // of the decoded path: what becomes SCRIPT_NAME
  };

  // Of two that are the same, the first one wins.
  void Add(const RoutePattern& pattern, int pool);

  // `host` as a request names it, with its port; `path` as it was received: "/%61" is "/a", unless it `is_decoded`.
  Match Find(std::string_view host, std::string_view path, bool is_decoded = false) const;

  // The same, of this pool's routes only.
  Match FindOf(int pool, std::string_view host, std::string_view path, bool is_decoded = false) const;

  bool empty() const { return routes_.empty(); }

 private:
  struct Route {
    RoutePattern pattern;
    int pool;
  };

  // `pool` kNoPool: of all.
  Match FindAmong(int pool, std::string_view host, std::string_view path, bool is_decoded) const;

  std::vector<Route> routes_;  // the most specific first
};

}  // namespace greenring::worker
