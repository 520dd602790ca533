// What is io_uring's own; what every ring promises is in ring_conformance_test.cc.

#include "ioloop/uring.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/ring_world.h"
#include "ioloop/uring_error.h"

namespace greenring::ioloop {
namespace {

#define CREATE_OR_SKIP(ring, options)                                   \
  absl::StatusOr<std::unique_ptr<Uring>> ring = Uring::Create(options); \
  if (!ring.ok()) GTEST_SKIP() << ring.status()

// Makes io_uring_setup fail with `error_number`, as a container's profile does.
void ForbidIoUring(int error_number) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error_number)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    _exit(77);
  }
}

// The message of Create in a child process under that filter.
std::string MessageUnderFilter(int error_number) {
  int fds[2];
  EXPECT_EQ(pipe(fds), 0);
  const pid_t child = fork();
  if (child == 0) {
    ForbidIoUring(error_number);
    const std::string text = Uring::Create({}).status().ToString();
    _exit(write(fds[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(fds[1]);
  std::string text(4096, '\0');
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, read(fds[0], text.data(), text.size()))));
  close(fds[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 77 ? "no seccomp" : text;
}

TEST(UringTest, SeccompFilterIsNamedWithItsRemedy) {
  for (int error_number : {EPERM, ENOSYS}) {
    const std::string message = MessageUnderFilter(error_number);
    if (message == "no seccomp") GTEST_SKIP() << "cannot install a seccomp filter here";
    EXPECT_NE(message.find("FAILED_PRECONDITION"), std::string::npos) << message;
    // The test's own machine may forbid io_uring in another way, which then is the reason to name.
    if (ReadSetupFacts().io_uring_disabled > 0 && error_number == EPERM) continue;
    EXPECT_NE(message.find("a seccomp filter forbids io_uring"), std::string::npos) << message;
    EXPECT_NE(message.find("--security-opt seccomp="), std::string::npos) << message;
    EXPECT_NE(message.find("io_uring_enter"), std::string::npos) << message;
  }
}

TEST(UringErrorTest, EachCauseNamesItsRemedy) {
  const auto explain = [](int error_number, SetupFacts facts) {
    return std::string(ExplainSetupError(error_number, facts).message());
  };
  const SetupFacts plain{.kernel_release = "4.19.0", .io_uring_disabled = 0, .seccomp_mode = 0};
  SetupFacts disabled = plain, filtered = plain;
  disabled.io_uring_disabled = 2;
  filtered.seccomp_mode = 2;
  EXPECT_NE(explain(EPERM, disabled).find("sysctl -w kernel.io_uring_disabled=0"), std::string::npos);
  EXPECT_NE(explain(EPERM, filtered).find("seccomp"), std::string::npos);
  EXPECT_NE(explain(EACCES, plain).find("SELinux"), std::string::npos);
  EXPECT_NE(explain(ENOSYS, plain).find("4.19.0"), std::string::npos);
  EXPECT_NE(explain(ENOSYS, plain).find("Linux 5.13"), std::string::npos);
  EXPECT_NE(explain(ENOMEM, plain).find("ulimit -l"), std::string::npos);
  EXPECT_NE(explain(EMFILE, plain).find("ulimit -n"), std::string::npos);
  EXPECT_EQ(ExplainSetupError(ENOMEM, plain).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(std::string(KernelTooOld(plain).message()).find("too old"), std::string::npos);
}

TEST(UringTest, DescribeNamesWhatIsMissingAndWhy) {
  CREATE_OR_SKIP(ring, (UringOptions{.features_masked = UringOptions::kMultishotRecv}));
  EXPECT_NE((*ring)->Describe().find("multishot_recv (masked)"), std::string::npos) << (*ring)->Describe();
  EXPECT_EQ((*ring)->features() & UringOptions::kMultishotRecv, 0u);
}

TEST(UringTest, FeaturesThatDependOnAMissingOneAreLeftOut) {
  CREATE_OR_SKIP(ring, (UringOptions{.features_masked = UringOptions::kSingleIssuer | UringOptions::kSkipSuccess}));
  EXPECT_EQ((*ring)->features() & (UringOptions::kDeferTaskrun | UringOptions::kInferredSend), 0u);
}

TEST(UringTest, TakesNoneOfTheLowDescriptors) {
  const int before = dup(STDERR_FILENO);
  close(before);
  CREATE_OR_SKIP(ring, {});
  const int after = dup(STDERR_FILENO);
  close(after);
  EXPECT_EQ(after, before);
}

TEST(UringTest, WakesCostSystemCallsOnlyWhenTheRingSleeps) {
  CREATE_OR_SKIP(ring, UringOptions{});
  (*ring)->SubmitAndWait(0, 0);
  const uint64_t before = (*ring)->system_calls();
  // Awake: a thousand wakes and the turn after them make no call.
  for (int i = 0; i < 1000; ++i) (*ring)->Wake();
  (*ring)->SubmitAndWait(1, kNeverNs);
  EXPECT_EQ((*ring)->system_calls(), before);
  // Then it sleeps again instead of spinning on what is left of them.
  (*ring)->SubmitAndWait(1, Clock::Monotonic()->NowNs() + kNanosecondsPerMillisecond);
  EXPECT_EQ((*ring)->system_calls(), before + 1);
}

TEST(UringTest, WakeInASignalHandlerEndsTheWait) {
  static Uring* woken = nullptr;
  CREATE_OR_SKIP(ring, UringOptions{});
  woken = ring->get();
  struct sigaction action {
  }, old;
  action.sa_handler = [](int) { woken->Wake(); };
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, &old);
  ualarm(2000, 0);
  (*ring)->SubmitAndWait(1, kNeverNs);
  sigaction(SIGALRM, &old, nullptr);
}

TEST(UringTest, ForkedChildThatDestroysItsCopyLeavesTheParentsRingAlone) {
  CREATE_OR_SKIP(ring, UringOptions{});
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  RecordingCompletion received;
  char data[16];
  (*ring)->Recv(fds[0], data, sizeof(data), 0, &received);
  (*ring)->SubmitAndWait(0, 0);
  const pid_t child = fork();
  if (child == 0) {
    ring->reset();
    _exit(write(fds[1], "child", 5) == 5 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  while (!received.over) {
    (*ring)->SubmitAndWait(1, kNeverNs);
    (*ring)->Reap();
  }
  EXPECT_EQ(received.result(), 5);
  close(fds[0]);
  close(fds[1]);
}

TEST(UringTest, DestructionWithOperationsInFlightCancelsThem) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  RecordingCompletion received;
  {
    CREATE_OR_SKIP(ring, UringOptions{});
    (*ring)->RecvMultishot(fds[0], &received);
    (*ring)->SubmitAndWait(0, 0);
    EXPECT_EQ((*ring)->in_flight(), 1u);
  }
  EXPECT_TRUE(received.events.empty());
  close(fds[0]);
  close(fds[1]);
}

}  // namespace
}  // namespace greenring::ioloop
