// Which features the kernel has, and the ring, buffers and eventfd that are set up by them.
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errno_status.h"
#include "ioloop/uring.h"
#include "ioloop/uring_error.h"

namespace greenring::ioloop {
namespace {

// From newer kernels' headers than Debian 12's.
constexpr unsigned kFeatureMinTimeout = 1u << 15;  // IORING_FEAT_MIN_TIMEOUT, 6.12
constexpr unsigned kFeatureNoIowait = 1u << 17;    // IORING_FEAT_NO_IOWAIT, 6.15

constexpr size_t kPageBytes = 4096;

// Every buffer starts in another set of the first-level cache: at a stride of 4 KiB the heads of all buffers would
// compete for the same one.
constexpr size_t kCacheLineBytes = 64;

// How many rings were unmapped. What a thread did with its ring comes before what another does with one at the same
// address: the kernel sees to that, and this tells TSan, which does not see liburing's system calls.
constinit std::atomic<uint32_t> rings_unmapped{0};

struct FeatureName {
  UringOptions::Feature feature;
  const char* name;
  const char* since;
};

constexpr FeatureName kFeatureNames[] = {
    {UringOptions::kDeferTaskrun, "defer_taskrun", "6.1"},
    {UringOptions::kSingleIssuer, "single_issuer", "6.0"},
    {UringOptions::kMultishotRecv, "multishot_recv", "6.0"},
    {UringOptions::kInferredSend, "inferred_send", "6.0"},
    {UringOptions::kCoopTaskrun, "coop_taskrun", "5.19"},
    {UringOptions::kMultishotAccept, "multishot_accept", "5.19"},
    {UringOptions::kBufferRing, "buffer_ring", "5.19"},
    {UringOptions::kSubmitAll, "submit_all", "5.18"},
    {UringOptions::kRegisteredRing, "registered_ring", "5.18"},
    {UringOptions::kSkipSuccess, "skip_success", "5.17"},
    {UringOptions::kAbsoluteTimeout, "absolute_timeout", "6.12"},
    {UringOptions::kGather, "gather", "6.12"},
    {UringOptions::kNoIowait, "no_iowait", "6.15"},
};

unsigned SetupFlags(uint32_t features) {
  unsigned flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  if (features & UringOptions::kSubmitAll) flags |= IORING_SETUP_SUBMIT_ALL;
  if (features & UringOptions::kCoopTaskrun) flags |= IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  if (features & UringOptions::kSingleIssuer) flags |= IORING_SETUP_SINGLE_ISSUER;
  if (features & UringOptions::kDeferTaskrun) flags |= IORING_SETUP_DEFER_TASKRUN;
  return flags;
}

// Takes out what depends on something that is not there.
uint32_t Consistent(uint32_t features) {
  if (!(features & UringOptions::kSingleIssuer) || !(features & UringOptions::kCoopTaskrun)) {
    features &= ~UringOptions::kDeferTaskrun;
  }
  if (!(features & UringOptions::kSkipSuccess)) features &= ~UringOptions::kInferredSend;
  return features;
}

// Applications take low descriptors for their own: they count them, close ranges of them, expect the first free one to
// be 3. So ours are above those, where the process may have so many. Consumes `fd`.
int OutOfTheWay(int fd) {
  constexpr int kFirst = 256;
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, kFirst);
  if (moved < 0) return fd;
  close(fd);
  return moved;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Uring>> Uring::Create(const UringOptions& options) {
  std::unique_ptr<Uring> ring(new Uring(options));
  if (absl::Status status = ring->SetUp(); !status.ok()) return status;
  return ring;
}

absl::Status Uring::SetUp() {
  features_ = Consistent(UringOptions::kAllFeatures & ~options_.features_masked);
  if (absl::Status status = SetUpRing(); !status.ok()) return status;
  ProbeOperations();
  if (absl::Status status = SetUpBuffers(); !status.ok()) return status;
  if (Has(UringOptions::kRegisteredRing) && io_uring_register_ring_fd(&ring_) < 0) {
    features_ &= ~UringOptions::kRegisteredRing;
  }
  SetUpKernelThreads();
  reaped_.reserve(kReapMax);
  inferred_.reserve(options_.submissions_max);
  confirmed_.reserve(options_.submissions_max);
  return SetUpWake();
}

absl::Status Uring::SetUpRing() {
  // An older kernel answers EINVAL to flags it does not know: leave them out, the newest first.
  constexpr uint32_t kNewestFirst[] = {UringOptions::kDeferTaskrun, UringOptions::kSingleIssuer,
                                       UringOptions::kCoopTaskrun, UringOptions::kSubmitAll, 0};
  for (uint32_t next_to_drop : kNewestFirst) {
    io_uring_params params{};
    params.flags = SetupFlags(features_);
    params.cq_entries = options_.completions_max;
    const int error = -io_uring_queue_init_params(options_.submissions_max, &ring_, &params);
    if (error == 0) {
      static_cast<void>(rings_unmapped.load(std::memory_order_acquire));
      ring_ready_ = true;
      ring_.ring_fd = ring_.enter_ring_fd = OutOfTheWay(ring_.ring_fd);
      break;
    }
    if (error != EINVAL || next_to_drop == 0) return ExplainSetupError(error, ReadSetupFacts());
    features_ = Consistent(features_ & ~next_to_drop);
  }
  // RSRC_TAGS came with 5.13, as did the multishot poll that Wake needs; the others are older.
  constexpr unsigned kNeeded = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL |
                               IORING_FEAT_EXT_ARG | IORING_FEAT_RSRC_TAGS;
  if ((ring_.features & kNeeded) != kNeeded) return KernelTooOld(ReadSetupFacts());
  // The submission queue's indirection stays the identity for ever.
  for (unsigned i = 0; i < ring_.sq.ring_entries; ++i) ring_.sq.array[i] = i;
  return absl::OkStatus();
}

void Uring::ProbeOperations() {
  if (!(ring_.features & IORING_FEAT_CQE_SKIP)) features_ &= ~UringOptions::kSkipSuccess;
  if (!(ring_.features & kFeatureMinTimeout)) {
    features_ &= ~(UringOptions::kAbsoluteTimeout | UringOptions::kGather);
  }
  if (!(ring_.features & kFeatureNoIowait)) features_ &= ~UringOptions::kNoIowait;
  // Multishot has no feature bit; operations that arrived in the same release stand for it.
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  if (probe == nullptr || !io_uring_opcode_supported(probe, IORING_OP_SOCKET)) {
    features_ &= ~(UringOptions::kMultishotAccept | UringOptions::kBufferRing);
  }
  if (probe == nullptr || !io_uring_opcode_supported(probe, IORING_OP_SEND_ZC)) {
    features_ &= ~(UringOptions::kMultishotRecv | UringOptions::kInferredSend);
  }
  io_uring_free_probe(probe);
  features_ = Consistent(features_);
}

absl::Status Uring::SetUpBuffers() {
  const unsigned count = options_.buffers_max;
  GREENRING_CHECK((count & (count - 1)) == 0 && options_.buffers_initial <= count && count <= 32768);
  buffer_stride_bytes_ = options_.buffer_size_bytes + kCacheLineBytes;
  const size_t buffers_bytes = (count * buffer_stride_bytes_ + kPageBytes - 1) / kPageBytes * kPageBytes;
  mapping_bytes_ = buffers_bytes + count * sizeof(io_uring_buf);
  void* mapping = mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return ErrnoToStatus(errno, "mmap of the receive buffers");
  mapping_ = static_cast<char*>(mapping);
  if (Has(UringOptions::kBufferRing)) {
    buffer_ring_ = reinterpret_cast<io_uring_buf_ring*>(mapping_ + buffers_bytes);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(buffer_ring_);
    registration.ring_entries = count;
    registration.bgid = kBufferGroup;
    if (io_uring_register_buf_ring(&ring_, &registration, 0) < 0) {
      features_ &= ~UringOptions::kBufferRing;
      buffer_ring_ = nullptr;
    }
  }
  while (buffers_provided_ < options_.buffers_initial) ProvideBuffer(buffers_provided_++);
  return absl::OkStatus();
}

absl::Status Uring::SetUpWake() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return ErrnoToStatus(errno, "eventfd");
  wake_fd_.Reset(OutOfTheWay(fd));
  ArmWake();
  return absl::OkStatus();
}

void Uring::SetUpKernelThreads() {
  // Work on files, and that on what may never come. A kernel before 5.15 keeps its own limits.
  unsigned limits[] = {options_.kernel_threads_max, options_.kernel_threads_max};
  io_uring_register_iowq_max_workers(&ring_, limits);
}

Uring::~Uring() {
  if (ring_ready_) {
    rings_unmapped.fetch_add(1, std::memory_order_release);
    io_uring_queue_exit(&ring_);
  }
  if (mapping_ != nullptr) munmap(mapping_, mapping_bytes_);
}

std::string Uring::Describe() const {
  std::string missing;
  for (const FeatureName& entry : kFeatureNames) {
    if (Has(entry.feature)) continue;
    const bool masked = (options_.features_masked & entry.feature) != 0;
    absl::StrAppend(&missing, missing.empty() ? ", without " : ", ", entry.name, masked ? " (masked)" : " (Linux ",
                    masked ? "" : entry.since, masked ? "" : ")");
  }
  return absl::StrCat("io_uring on Linux ", ReadSetupFacts().kernel_release,
                      missing.empty() ? ", every feature in use" : missing, "; ", options_.buffers_initial, " to ",
                      options_.buffers_max, " receive buffers of ", options_.buffer_size_bytes, " bytes");
}

}  // namespace greenring::ioloop
