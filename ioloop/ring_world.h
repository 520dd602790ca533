// A ring together with a world to talk to, so that one suite runs on the kernel's io_uring and on the simulated one.
//
//   std::unique_ptr<RingWorld> world = GetParam().make({});
//   auto [ours, peers] = world->SocketPair();
//   world->PeerWrite(peers, "hello");
//
// Descriptors named `peer` are the other side's: plain calls act on them at once, without the ring. For tests only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "ioloop/ring.h"

namespace greenring::ioloop {

class RingWorld {
 public:
  virtual ~RingWorld() = default;
  virtual Ring* ring() = 0;
  virtual Clock* clock() = 0;

  virtual std::pair<int, int> SocketPair() = 0;  // ours, the peer's
  virtual std::pair<int, int> Pipe() = 0;        // to read, to write
  virtual int File(const std::string& content) = 0;
  virtual std::string PathOf(int fd) = 0;  // to open it by again
  virtual int Socket() = 0;                // not connected; of the family of Listen
  virtual std::pair<int, uint16_t> Listen() = 0;
  virtual int PeerConnect(uint16_t port) = 0;

  virtual size_t PeerWrite(int peer, std::string_view data) = 0;  // as much as fits
  virtual std::string PeerRead(int peer) = 0;                     // what is there
  virtual bool PeerSeesEnd(int peer) = 0;
  virtual void PeerShutdown(int peer) = 0;
  virtual void PeerClose(int peer) = 0;
  virtual size_t OpenDescriptors() = 0;
};

struct WorldOptions {
  unsigned submissions_max = 64;
  unsigned buffers_initial = 16;
  unsigned buffers_max = 16;
  size_t buffer_size_bytes = 4096;
};

// One kind of world: the test parameter.
struct WorldKind {
  std::string name;
  std::function<std::unique_ptr<RingWorld>(const WorldOptions&)> make;  // nullptr: the kernel lacks it
};

// Uring with every feature, with each one missing, with none; SimRing in order and permuted.
std::vector<WorldKind> AllWorlds();

inline std::ostream& operator<<(std::ostream& out, const WorldKind& kind) { return out << kind.name; }

// Records what it is told.
class RecordingCompletion final : public Completion {
 public:
  struct Event {
    int32_t result;
    uint32_t flags;
  };

  void OnComplete(int32_t result, uint32_t flags) override {
    events.push_back({result, flags});
    if (!(flags & Ring::kMore)) over = true;
  }

  int32_t result() const { return events.back().result; }

  std::vector<Event> events;
  bool over = false;  // until armed again by hand
};

}  // namespace greenring::ioloop
