#include "base/os_thread.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>

#include "base/check.h"
#include "base/clock.h"

namespace greenring {
namespace {

// Of the calls that wait, which the kernel tells by number.
struct Call {
  long number;
  const char* name;
  bool is_for_fd;  // its first argument
};

constexpr Call kCalls[] = {
    {SYS_read, "read", true},
    {SYS_write, "write", true},
    {SYS_readv, "readv", true},
    {SYS_writev, "writev", true},
    {SYS_pread64, "pread", true},
    {SYS_pwrite64, "pwrite", true},
    {SYS_recvfrom, "recv", true},
    {SYS_recvmsg, "recvmsg", true},
    {SYS_sendto, "send", true},
    {SYS_sendmsg, "sendmsg", true},
    {SYS_sendfile, "sendfile", false},
    {SYS_connect, "connect", true},
    {SYS_accept, "accept", true},
    {SYS_accept4, "accept", true},
    {SYS_ppoll, "poll", false},
    {SYS_pselect6, "select", false},
    {SYS_epoll_pwait, "epoll_wait", true},
#ifdef SYS_poll  // x86's older ones
    {SYS_poll, "poll", false},
    {SYS_select, "select", false},
    {SYS_epoll_wait, "epoll_wait", true},
    {SYS_open, "open", false},
#endif
    {SYS_openat, "open", false},
    {SYS_fsync, "fsync", true},
    {SYS_fdatasync, "fdatasync", true},
    {SYS_flock, "flock", true},
    {SYS_fcntl, "fcntl", true},
    {SYS_futex, "futex", false},
    {SYS_nanosleep, "nanosleep", false},
    {SYS_clock_nanosleep, "clock_nanosleep", false},
    {SYS_wait4, "wait4", false},
    {SYS_waitid, "waitid", false},
    {SYS_rt_sigtimedwait, "sigtimedwait", false},
    {SYS_io_uring_enter, "io_uring_enter", false},
};

uintptr_t named_begin = 0;
size_t named_size_bytes = 0;
const char* named_call = nullptr;

const Call* FindCall(long number) {
  for (const Call& call : kCalls) {
    if (call.number == number) return &call;
  }
  return nullptr;
}

}  // namespace

void OsThread::NameWaits(const void* begin, size_t size_bytes, const char* call) {
  named_begin = reinterpret_cast<uintptr_t>(begin);
  named_size_bytes = size_bytes;
  named_call = call;
}

void OsThread::BecomeCurrent() {
  GREENRING_CHECK(pthread_getcpuclockid(pthread_self(), &cpu_clock_) == 0);
  pthread_attr_t attributes;
  void* stack_base = nullptr;
  GREENRING_CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  GREENRING_CHECK(pthread_attr_getstack(&attributes, &stack_base, &stack_size_bytes_) == 0);
  pthread_attr_destroy(&attributes);
  stack_top_ = reinterpret_cast<uintptr_t>(stack_base) + stack_size_bytes_;
  id_.store(static_cast<pid_t>(syscall(SYS_gettid)), std::memory_order_release);
}

void OsThread::BeginAccounts() {
  timespec cpu;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu) != 0) return;
  cpu_before_ns_.store(cpu.tv_sec * kNanosecondsPerSecond + cpu.tv_nsec, std::memory_order_relaxed);
}

int64_t OsThread::CpuNs() const {
  timespec cpu;
  if (id() == 0 || clock_gettime(cpu_clock_, &cpu) != 0) return 0;
  return cpu.tv_sec * kNanosecondsPerSecond + cpu.tv_nsec - cpu_before_ns_.load(std::memory_order_relaxed);
}

OsThread::Look OsThread::LookAtIt() const {
  char text[256];
  Look look;
  if (ReadFile("syscall", text, sizeof(text)) == 0) return look;
  // "running", or the number of the call (-1: none, a page fault), its six arguments, stack and instruction pointer.
  look.state = Look::State::kRuns;
  long number = -1;
  uint64_t arguments[2] = {0, 0};
  uint64_t stack_pointer = 0;
  const int found = std::sscanf(text, "%ld %" SCNx64 " %" SCNx64 " %*x %*x %*x %*x %" SCNx64, &number, &arguments[0],
                                &arguments[1], &stack_pointer);
  if (found != 4) return look;
  look.state = Look::State::kWaits;
  if (stack_pointer < stack_top_ && stack_top_ - stack_pointer <= stack_size_bytes_) {
    look.stack_used_bytes = stack_top_ - stack_pointer;
  }
  const Call* const call = FindCall(number);
  look.call = call != nullptr ? call->name : "system call";
  if (call != nullptr && call->is_for_fd) look.fd = static_cast<int>(arguments[0]);
  if (number == SYS_futex && arguments[0] - named_begin < named_size_bytes) look.call = named_call;
  return look;
}

size_t OsThread::ReadFile(const char* name, char* text, size_t size) const {
  if (id() == 0) return 0;
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/self/task/%d/%s", id(), name);
  // Not open(2) and read(2), which park where the server defines them.
  const long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const long got = syscall(SYS_read, fd, text, size - 1);
  syscall(SYS_close, fd);
  text[got > 0 ? got : 0] = '\0';
  return got > 0 ? static_cast<size_t>(got) : 0;
}

}  // namespace greenring
