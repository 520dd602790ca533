// system, popen and pclose: a shell, and waiting for it.
//
// Not as in the C library: SIGCHLD is not blocked meanwhile, since the signal mask is the OS thread's and other green
// threads run on it; and the C library's own system, which other OS threads call, counts its commands apart from ours
// when it ignores and restores SIGINT and SIGQUIT. A pclose that is cancelled leaves the child. A stream of popen is
// for one green thread at a time: what guards a FILE counts OS threads.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <mutex>

#include "base/check.h"
#include "ioloop/posix/os_lock.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

constexpr char kShell[] = "/bin/sh";

// ---- the two signals that a terminal sends, ignored while any command of system runs -------------------------------

class TerminalSignals {
 public:
  constexpr TerminalSignals() = default;

  // Never parks.
  void Ignore() {
    std::lock_guard<OsLock> lock(lock_);
    if (users_++ > 0) return;
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    real::sigaction(SIGINT, &ignore, &interrupt_);
    real::sigaction(SIGQUIT, &ignore, &quit_);
  }

  // Never parks.
  void Restore() {
    std::lock_guard<OsLock> lock(lock_);
    if (--users_ > 0) return;
    real::sigaction(SIGINT, &interrupt_, nullptr);
    real::sigaction(SIGQUIT, &quit_, nullptr);
  }

  // Those that a child is to have back: what was ignored before stays so.
  sigset_t Handled() {
    std::lock_guard<OsLock> lock(lock_);
    sigset_t handled;
    sigemptyset(&handled);
    if (interrupt_.sa_handler != SIG_IGN) sigaddset(&handled, SIGINT);
    if (quit_.sa_handler != SIG_IGN) sigaddset(&handled, SIGQUIT);
    return handled;
  }

 private:
  OsLock lock_;
  int users_ = 0;
  struct sigaction interrupt_ {};
  struct sigaction quit_ {};
};

constinit TerminalSignals terminal_signals;

int Spawn(const char* command, const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes,
          pid_t* child) {
  char shell[] = "sh", option[] = "-c";
  char* const arguments[] = {shell, option, const_cast<char*>(command), nullptr};
  return posix_spawn(child, kShell, actions, attributes, arguments, environ);
}

// ---- the streams of popen ------------------------------------------------------------------------------------------

// Reads and writes by the names that park: stdio's own calls are inside the C library.
struct Pipe {
  int fd;
  pid_t child;
  FILE* stream = nullptr;
  Pipe* next = nullptr;
};

ssize_t ReadPipe(void* cookie, char* data, size_t size) { return ::read(static_cast<Pipe*>(cookie)->fd, data, size); }

ssize_t WritePipe(void* cookie, const char* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t written = ::write(static_cast<Pipe*>(cookie)->fd, data + done, size - done);
    if (written < 0) break;
    done += static_cast<size_t>(written);
  }
  // 0 is how a stream is told of an error.
  return static_cast<ssize_t>(done);
}

int ClosePipe(void* cookie) { return ::close(static_cast<Pipe*>(cookie)->fd); }

// Those that are open, in this process.
class Pipes {
 public:
  constexpr Pipes() = default;

  void Add(Pipe* pipe) {
    std::lock_guard<OsLock> lock(lock_);
    pipe->next = first_;
    first_ = pipe;
  }

  // nullptr: the stream is not of popen above.
  Pipe* Remove(const FILE* stream) {
    std::lock_guard<OsLock> lock(lock_);
    for (Pipe** link = &first_; *link != nullptr; link = &(*link)->next) {
      if ((*link)->stream != stream) continue;
      Pipe* const found = *link;
      *link = found->next;
      return found;
    }
    return nullptr;
  }

  // In the child, which may read and close its parent's streams.
  void ForgetLockAfterFork() { lock_.ForgetAfterFork(); }

  // As POSIX asks: no later child holds the streams of earlier ones open.
  void CloseInChild(posix_spawn_file_actions_t* actions, int but_not) {
    std::lock_guard<OsLock> lock(lock_);
    for (const Pipe* pipe = first_; pipe != nullptr; pipe = pipe->next) {
      if (pipe->fd != but_not) posix_spawn_file_actions_addclose(actions, pipe->fd);
    }
  }

 private:
  OsLock lock_;
  Pipe* first_ = nullptr;
};

constinit Pipes pipes;

// The child's pid, with `end` as its descriptor `as`; or -1 and errno.
pid_t SpawnWithPipe(const char* command, int end, int as) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  pipes.CloseInChild(&actions, as);
  posix_spawn_file_actions_adddup2(&actions, end, as);
  pid_t child = -1;
  const int error = Spawn(command, &actions, nullptr, &child);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) errno = error;
  return error == 0 ? child : -1;
}

FILE* OpenStream(Pipe* pipe, const char* mode) {
  FILE* const stream = fopencookie(pipe, mode, {&ReadPipe, &WritePipe, nullptr, &ClosePipe});
  if (stream != nullptr) stream->_fileno = pipe->fd;  // for fileno(3); the stream itself only calls the above
  return stream;
}

// The status; or -1 and errno. After a cancellation the child is killed: nobody would wait for it any more. Parks.
int AwaitShell(pid_t child) {
  int status = 0;
  for (;;) {
    if (parking::waitpid(child, &status, 0) == child) return status;
    if (errno == EINTR) continue;
    if (errno == ECANCELED) {
      kill(child, SIGKILL);
      real::waitpid(child, &status, 0);
      errno = ECANCELED;
    }
    return -1;
  }
}

}  // namespace

int system(const char* command) {
  if (command == nullptr) return parking::system("exit 0") == 0;
  terminal_signals.Ignore();
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  const sigset_t handled = terminal_signals.Handled();
  posix_spawnattr_setsigdefault(&attributes, &handled);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t child = -1;
  const int error = Spawn(command, nullptr, &attributes, &child);
  posix_spawnattr_destroy(&attributes);
  int status = W_EXITCODE(127, 0);  // of a shell that cannot be executed
  if (error == EAGAIN || error == ENOMEM) {
    errno = error;
    status = -1;
  } else if (error == 0) {
    status = AwaitShell(child);
  }
  const int after = errno;
  terminal_signals.Restore();
  errno = after;
  return status;
}

FILE* popen(const char* command, const char* mode) {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { pipes.ForgetLockAfterFork(); });
  GREENRING_CHECK(registered == 0);
  const bool reads = std::strchr(mode, 'r') != nullptr, writes = std::strchr(mode, 'w') != nullptr;
  const bool closed_by_exec = std::strchr(mode, 'e') != nullptr;
  if (reads == writes || std::strspn(mode, "rwe") != std::strlen(mode)) {
    errno = EINVAL;
    return nullptr;
  }
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return nullptr;
  const int ours = fds[reads ? 0 : 1], childs = fds[reads ? 1 : 0];
  Pipe* const pipe =
      new Pipe{.fd = ours, .child = SpawnWithPipe(command, childs, reads ? STDOUT_FILENO : STDIN_FILENO)};
  const int spawn_error = errno;
  ::close(childs);
  pipe->stream = pipe->child > 0 ? OpenStream(pipe, reads ? "r" : "w") : nullptr;
  if (pipe->stream == nullptr) {
    ::close(ours);
    delete pipe;
    errno = spawn_error;
    return nullptr;
  }
  if (!closed_by_exec) real::fcntl(ours, F_SETFD, nullptr);
  pipes.Add(pipe);
  return pipe->stream;
}

int pclose(FILE* stream) {
  Pipe* const pipe = pipes.Remove(stream);
  if (pipe == nullptr) return real::pclose(stream);
  fclose(stream);
  const pid_t child = pipe->child;
  delete pipe;
  int status;
  pid_t waited;
  do {
    waited = ::waitpid(child, &status, 0);
  } while (waited < 0 && errno == EINTR);
  return waited == child ? status : -1;
}

}  // namespace greenring::posix::parking
