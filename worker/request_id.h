// The name of one request in logs, in the API and for its application: the client's X-Request-ID where that is sane,
// else one of ours.
//
//   RequestIds ids;                                                  // once a process
//   std::string_view id = RequestIdOfClient(head);
//   if (id.empty()) id = ids.Write(number, &buffer);                 // "5b0c9f3e41d2-1f"
//
// Ours are the process's random prefix and the request's number in it, both in hexadecimal: unique without a system
// call. Not thread-safe. Never parks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/request_head.h"

namespace greenring::worker {

// 1 to kRequestIdBytesMax of A-Z, a-z, 0-9, '.', '_' and '-'.
inline constexpr size_t kRequestIdBytesMax = 128;
bool IsSaneRequestId(std::string_view text);

// The client's own; empty: it has sent none, or none that is sane. Points into what `head` points into.
std::string_view RequestIdOfClient(const protocol::RequestHead& head);

class RequestIds {
 public:
  static constexpr size_t kPrefixBytes = 12;
  // The prefix, a hyphen and 64 bits.
  static constexpr size_t kBytesMax = kPrefixBytes + 1 + 16;
  using Buffer = std::array<char, kBytesMax>;

  // A prefix that no other process has, but by a chance of one in 2^48.
  RequestIds();
  // For tests: that of `seed`.
  explicit RequestIds(uint64_t seed);

  // The id of request `number`, written to `buffer`.
  std::string_view Write(uint64_t number, Buffer* buffer) const;

 private:
  std::array<char, kPrefixBytes> prefix_;
};

}  // namespace greenring::worker
