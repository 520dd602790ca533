// flock, lockf and fcntl, contended.
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

struct flock Everything(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

class FileLocksTest : public ::testing::Test {
 protected:
  FileLocksTest() {
    const int content = memfd_create("locked", MFD_CLOEXEC);
    const std::string path = "/proc/self/fd/" + std::to_string(content);
    for (int& fd : fds_) fd = ::open(path.c_str(), O_RDWR);
    ::close(content);
    EXPECT_EQ(ftruncate(fds_[0], 100), 0);
  }
  ~FileLocksTest() override {
    for (int fd : fds_) close(fd);
  }

  // A process that locks bytes [first, first + size) and holds them until Release.
  void LockElsewhere(off_t first, off_t size) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    ASSERT_EQ(pipe(release_), 0);
    holder_ = fork();
    if (holder_ == 0) {
      struct flock lock = Everything(F_WRLCK);
      lock.l_start = first;
      lock.l_len = size;
      char byte = fcntl(fds_[0], F_SETLK, &lock) == 0 ? 'y' : 'n';
      ::close(release_[1]);
      if (::write(ready[1], &byte, 1) == 1 && ::read(release_[0], &byte, 1) == 0) _exit(0);
      _exit(1);
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    ASSERT_EQ(byte, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
    ::close(release_[0]);
  }
  void Release() {
    ::close(release_[1]);
    int status;
    EXPECT_EQ(waitpid(holder_, &status, 0), holder_);
  }

  PosixWorld world_;
  int fds_[2];
  int release_[2];
  pid_t holder_ = -1;
};

TEST_F(FileLocksTest, FlockOfAnotherOpenFileParksUntilItIsFree) {
  bool locked = false;
  ASSERT_EQ(flock(fds_[0], LOCK_EX), 0);
  world_.Go([&] {
    errno = 77;
    EXPECT_EQ(flock(fds_[1], LOCK_EX), 0);
    EXPECT_EQ(errno, 77);
    locked = true;
  });
  world_.Go([&] {
    usleep(5000);
    EXPECT_FALSE(locked);
    EXPECT_EQ(flock(fds_[0], LOCK_EX | LOCK_NB), 0);
    EXPECT_EQ(flock(fds_[0], LOCK_UN), 0);
  });
  world_.RunAll();
  EXPECT_TRUE(locked);
}

TEST_F(FileLocksTest, FlockThatMustNotWaitDoesNot) {
  ASSERT_EQ(flock(fds_[0], LOCK_EX), 0);
  world_.Run([&] {
    EXPECT_EQ(flock(fds_[1], LOCK_SH | LOCK_NB), -1);
    EXPECT_EQ(errno, EWOULDBLOCK);
    EXPECT_EQ(flock(-1, LOCK_SH), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(flock(fds_[1], 0), -1);
    EXPECT_EQ(errno, EINVAL);
  });
}

TEST_F(FileLocksTest, CancelAndCloseEndTheWait) {
  ASSERT_EQ(flock(fds_[0], LOCK_EX), 0);
  int cancelled = 0, closed = 0;
  green::GreenThread* const first = world_.Go([&] {
    EXPECT_EQ(flock(fds_[1], LOCK_EX), -1);
    cancelled = errno;
  });
  world_.Go([&] {
    EXPECT_EQ(flock(fds_[1], LOCK_SH), -1);
    closed = errno;
  });
  world_.Go([&] {
    world_.scheduler()->Cancel(first);
    world_.scheduler()->Yield();
    close(fds_[1]);
    fds_[1] = dup(fds_[0]);
  });
  world_.RunAll();
  EXPECT_EQ(cancelled, ECANCELED);
  EXPECT_EQ(closed, EBADF);
}

TEST_F(FileLocksTest, RecordLocksParkUntilTheOtherProcessReleases) {
  LockElsewhere(0, 0);
  bool locked = false;
  world_.Go([&] {
    struct flock lock = Everything(F_WRLCK);
    EXPECT_EQ(fcntl(fds_[0], F_SETLKW, &lock), 0);
    locked = true;
  });
  world_.Go([&] {
    struct flock lock = Everything(F_WRLCK);
    EXPECT_EQ(fcntl(fds_[0], F_SETLK, &lock), -1);
    EXPECT_TRUE(errno == EAGAIN || errno == EACCES);
    EXPECT_EQ(fcntl(fds_[0], F_GETLK, &lock), 0);
    EXPECT_EQ(lock.l_pid, holder_);
    EXPECT_FALSE(locked);
    Release();
  });
  world_.RunAll();
  EXPECT_TRUE(locked);
}

TEST_F(FileLocksTest, LocksOfOpenFilesParkInOneProcess) {
  struct flock lock = Everything(F_WRLCK);
  ASSERT_EQ(fcntl(fds_[0], F_OFD_SETLK, &lock), 0);
  bool locked = false;
  world_.Go([&] {
    struct flock mine = Everything(F_WRLCK);
    EXPECT_EQ(fcntl(fds_[1], F_OFD_SETLKW, &mine), 0);
    locked = true;
  });
  world_.Go([&] {
    EXPECT_FALSE(locked);
    struct flock none = Everything(F_UNLCK);
    EXPECT_EQ(fcntl(fds_[0], F_OFD_SETLK, &none), 0);
  });
  world_.RunAll();
  EXPECT_TRUE(locked);
}

TEST_F(FileLocksTest, LockfLocksFromThePositionAtItsCall) {
  LockElsewhere(10, 5);
  bool locked = false;
  world_.Go([&] {
    EXPECT_EQ(lseek(fds_[0], 10, SEEK_SET), 10);
    EXPECT_EQ(lockf(fds_[0], F_TEST, 1), -1);
    EXPECT_TRUE(errno == EAGAIN || errno == EACCES);
    EXPECT_EQ(lockf(fds_[0], F_TLOCK, 1), -1);
    EXPECT_EQ(lockf(fds_[0], F_LOCK, 5), 0);
    locked = true;
  });
  world_.Go([&] {
    EXPECT_FALSE(locked);
    EXPECT_EQ(lseek(fds_[0], 50, SEEK_SET), 50);  // where nothing is locked
    usleep(3000);
    EXPECT_FALSE(locked);
    Release();
  });
  world_.RunAll();
  EXPECT_TRUE(locked);
  const pid_t child = fork();
  if (child == 0) {
    struct flock lock = Everything(F_WRLCK);
    lock.l_start = 14;
    lock.l_len = 1;
    _exit(fcntl(fds_[0], F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_start == 10 ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(FileLocksTest, OSThreadsBlockThemselves) {
  ASSERT_EQ(flock(fds_[0], LOCK_EX), 0);
  std::thread waits([&] { EXPECT_EQ(flock(fds_[1], LOCK_EX), 0); });
  EXPECT_EQ(flock(fds_[0], LOCK_UN), 0);
  waits.join();
}

TEST_F(FileLocksTest, OtherCommandsArePlain) {
  world_.Run([&] {
    EXPECT_EQ(fcntl(fds_[0], F_GETFL) & O_ACCMODE, O_RDWR);
    EXPECT_EQ(fcntl(fds_[0], F_SETFD, FD_CLOEXEC), 0);
    EXPECT_EQ(fcntl(fds_[0], F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(-1, F_GETFD), -1);
    EXPECT_EQ(errno, EBADF);
  });
}

}  // namespace
}  // namespace greenring::posix
