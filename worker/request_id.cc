#include "worker/request_id.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "protocol/request_head.h"

namespace greenring::worker {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

uint64_t RandomSeed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed)) return seed;
  // Early in a machine's life: what tells processes apart all the same.
  const auto now_ns = static_cast<uint64_t>(Clock::Monotonic()->NowNs());
  return (now_ns + static_cast<uint64_t>(getpid()) * 1'000'003) * 0x9e3779b97f4a7c15u;
}

}  // namespace

bool IsSaneRequestId(std::string_view text) {
  if (text.empty() || text.size() > kRequestIdBytesMax) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '_' ||
           c == '-';
  });
}

std::string_view RequestIdOfClient(const protocol::RequestHead& head) {
  const std::string_view id = protocol::FindHeader(head, "x-request-id").value_or("");
  return IsSaneRequestId(id) ? id : std::string_view();
}

RequestIds::RequestIds() : RequestIds(RandomSeed()) {}

RequestIds::RequestIds(uint64_t seed) {
  for (size_t i = 0; i < prefix_.size(); ++i) prefix_[i] = kHexDigits[(seed >> (4 * i)) & 15];
}

std::string_view RequestIds::Write(uint64_t number, Buffer* buffer) const {
  char* out = std::copy(prefix_.begin(), prefix_.end(), buffer->data());
  *out++ = '-';
  int digits = 1;
  while (digits < 16 && number >> (4 * digits) != 0) ++digits;
  for (int i = digits - 1; i >= 0; --i) *out++ = kHexDigits[(number >> (4 * i)) & 15];
  return {buffer->data(), static_cast<size_t>(out - buffer->data())};
}

}  // namespace greenring::worker
