// How often green threads were parked, by the call that they were parked in.
//
//   ParkCounts counts;
//   counts.Add("recv");                                            // at each park
//   counts.ForEach([](const char* call, uint64_t count) { ... });
//
// Names are literals (WaitNote::call) and told apart by their addresses, so that a park costs a multiplication and an
// addition: two literals of the same text may be told separately. There are as many as there are calls in the sources;
// those beyond kCallsMax are counted together, as "others". Scheduler's thread only. Never parks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace greenring::green {

class ParkCounts {
 public:
  static constexpr size_t kCallsMax = 192;  // three quarters of the slots: probes stay short

  // nullptr: nobody has noted a call.
  void Add(const char* call) {
    Slot* slot = &slots_[HomeOf(call)];
    if (slot->call != call) [[unlikely]]
      slot = Find(call);
    ++slot->count;
  }

  // Those that were counted, nullptr too.
  template <typename F>
  void ForEach(F function) const {
    for (const Slot& slot : slots_) {
      if (slot.count != 0) function(slot.call, slot.count);
    }
    if (others_.count != 0) function("others", others_.count);
  }

 private:
  struct Slot {
    const char* call = nullptr;  // nullptr: free, or what has no name
    uint64_t count = 0;
  };
  static constexpr int kSlotsLog2 = 8;
  static constexpr size_t kSlots = size_t{1} << kSlotsLog2;

  // Slot 0 is that of nullptr alone.
  static size_t HomeOf(const char* call) {
    if (call == nullptr) return 0;
    const uint64_t mixed = reinterpret_cast<uintptr_t>(call) * 0x9e3779b97f4a7c15u;  // 2^64 / the golden ratio
    const auto home = static_cast<size_t>(mixed >> (64 - kSlotsLog2));
    return home + (home == 0 ? 1 : 0);
  }

  Slot* Find(const char* call) {
    for (size_t i = HomeOf(call);; i = i + 1 == kSlots ? 1 : i + 1) {
      if (slots_[i].call == call) return &slots_[i];
      if (slots_[i].call != nullptr) continue;
      if (calls_ == kCallsMax) return &others_;
      ++calls_;
      slots_[i].call = call;
      return &slots_[i];
    }
  }

  std::array<Slot, kSlots> slots_{};
  Slot others_;
  size_t calls_ = 0;
};

}  // namespace greenring::green
