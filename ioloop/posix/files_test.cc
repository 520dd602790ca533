// Reading, writing, opening, syncing.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pty.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

class FilesTest : public ::testing::Test {
 protected:
  FilesTest() {
    std::string name = ::testing::TempDir() + "/files_test.XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    EXPECT_EQ(pipe(pipe_), 0);
  }
  ~FilesTest() override {
    for (int fd : pipe_) {
      if (fd >= 0) close(fd);
    }
    EXPECT_EQ(std::system(("rm -rf " + directory_).c_str()), 0);
  }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  int reader() const { return pipe_[0]; }
  int writer() const { return pipe_[1]; }

  // Runs `blocks` and, while it is parked, `meanwhile`: checked, that the second ran before the first ended.
  template <typename Blocks, typename Meanwhile>
  void Beside(const Blocks& blocks, const Meanwhile& meanwhile) {
    bool ended = false, ended_first = true;
    world_.Go([&] {
      blocks();
      ended = true;
    });
    world_.Go([&] {
      ended_first = ended;
      meanwhile();
    });
    world_.RunAll();
    EXPECT_FALSE(ended_first) << "it did not park";
  }

  PosixWorld world_;
  std::string directory_;
  int pipe_[2] = {-1, -1};
};

// ---- pipes ---------------------------------------------------------------------------------------------------------

TEST_F(FilesTest, AReadOfAnEmptyPipeParks) {
  char data[8];
  ssize_t size = 0;
  Beside([&] { size = read(reader(), data, sizeof(data)); }, [&] { EXPECT_EQ(write(writer(), "abc", 3), 3); });
  ASSERT_EQ(size, 3);
  EXPECT_EQ(std::string(data, 3), "abc");
}

TEST_F(FilesTest, AReadOfWhatIsThereTakesNoTurn) {
  world_.Run([&] {
    ASSERT_EQ(write(writer(), "abc", 3), 3);
    const uint64_t turns = world_.scheduler()->stats().turns;
    char data[8];
    errno = 77;
    EXPECT_EQ(read(reader(), data, sizeof(data)), 3);
    EXPECT_EQ(errno, 77);
    EXPECT_EQ(world_.scheduler()->stats().turns, turns);
  });
}

TEST_F(FilesTest, ASuccessAfterParkingKeepsErrno) {
  char byte;
  int after = 0;
  Beside(
      [&] {
        errno = 77;
        EXPECT_EQ(read(reader(), &byte, 1), 1);
        after = errno;
      },
      [&] { EXPECT_EQ(write(writer(), "x", 1), 1); });
  EXPECT_EQ(after, 77);
}

TEST_F(FilesTest, ManyReadersOfOnePipeGetOneWriteEach) {
  int got = 0;
  for (int i = 0; i < 20; ++i) {
    world_.Go([&] {
      char byte;
      if (read(reader(), &byte, 1) == 1) ++got;
    });
  }
  world_.Go([&] {
    for (int i = 0; i < 20; ++i) {
      ASSERT_EQ(write(writer(), "x", 1), 1);
      world_.scheduler()->Yield();
    }
  });
  world_.RunAll();
  EXPECT_EQ(got, 20);
}

TEST_F(FilesTest, AWriteToAPipeEndsWithItsLastByte) {
  const std::string sent(300'000, 'x');
  ssize_t written = 0;
  size_t received = 0;
  Beside([&] { written = write(writer(), sent.data(), sent.size()); },
         [&] {
           std::vector<char> data(10'000);
           while (received < sent.size()) {
             const ssize_t size = read(reader(), data.data(), data.size());
             ASSERT_GT(size, 0);
             received += static_cast<size_t>(size);
           }
         });
  EXPECT_EQ(written, static_cast<ssize_t>(sent.size()));
}

TEST_F(FilesTest, AVectoredWriteToAPipeEndsWithItsLastByte) {
  std::string first(100'000, 'a'), second(100'000, 'b');
  const iovec parts[] = {{first.data(), first.size()}, {nullptr, 0}, {second.data(), second.size()}};
  ssize_t written = 0;
  std::string received;
  Beside([&] { written = writev(writer(), parts, 3); },
         [&] {
           std::vector<char> data(7'000);
           const iovec targets[] = {{data.data(), 3'000}, {data.data() + 3'000, 4'000}};
           while (received.size() < 200'000) {
             const ssize_t size = readv(reader(), targets, 2);
             ASSERT_GT(size, 0);
             received.append(data.data(), static_cast<size_t>(size));
           }
         });
  EXPECT_EQ(written, 200'000);
  EXPECT_EQ(received, first + second);
}

TEST_F(FilesTest, ANonBlockingPipeNeverParks) {
  ASSERT_EQ(fcntl(reader(), F_SETFL, O_NONBLOCK), 0);
  ASSERT_EQ(fcntl(writer(), F_SETFL, O_NONBLOCK), 0);
  world_.Run([&] {
    char byte;
    EXPECT_EQ(read(reader(), &byte, 1), -1);
    EXPECT_EQ(errno, EAGAIN);
    const std::string data(300'000, 'x');
    EXPECT_EQ(write(writer(), data.data(), data.size()), 65536);
    EXPECT_EQ(write(writer(), "x", 1), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(world_.ring()->in_flight(), 0u);
  });
}

TEST_F(FilesTest, TheEndOfAPipeIsZeroAndAWriteWithoutReadersFails) {
  ssize_t size = -1;
  Beside([&] { size = read(reader(), &size, 1); }, [&] { close(std::exchange(pipe_[1], -1)); });
  EXPECT_EQ(size, 0);
  static std::atomic<int> raised;
  raised = 0;
  struct sigaction count {
  }, before;
  count.sa_handler = [](int) { ++raised; };
  sigaction(SIGPIPE, &count, &before);
  close(std::exchange(pipe_[0], -1));
  ASSERT_EQ(pipe(pipe_), 0);
  world_.Run([&] {
    close(std::exchange(pipe_[0], -1));
    EXPECT_EQ(write(writer(), "x", 1), -1);
    EXPECT_EQ(errno, EPIPE);
  });
  EXPECT_EQ(raised, 1);
  sigaction(SIGPIPE, &before, nullptr);
}

TEST_F(FilesTest, WhoIsParkedInAWriteLearnsThatTheReaderHasGone) {
  static std::atomic<int> raised;
  raised = 0;
  struct sigaction count {
  }, before;
  count.sa_handler = [](int) { ++raised; };
  sigaction(SIGPIPE, &count, &before);
  const std::string full(65536, 'x');
  int error = 0;
  Beside(
      [&] {
        EXPECT_EQ(write(writer(), full.data(), full.size()), 65536);
        EXPECT_EQ(write(writer(), "x", 1), -1);
        error = errno;
      },
      [&] { close(std::exchange(pipe_[0], -1)); });
  EXPECT_EQ(error, EPIPE);
  EXPECT_EQ(raised, 1);
  sigaction(SIGPIPE, &before, nullptr);
}

TEST_F(FilesTest, CancelEndsAReadAndAPartialWriteSaysHowFarItCame) {
  char byte;
  int error = 0;
  ssize_t written = 0;
  green::GreenThread* const reading = world_.Go([&] {
    EXPECT_EQ(read(reader(), &byte, 1), -1);
    error = errno;
  });
  world_.Go([&] { world_.scheduler()->Cancel(reading); });
  world_.RunAll();
  EXPECT_EQ(error, ECANCELED);
  const std::string data(300'000, 'x');
  green::GreenThread* const writing = world_.Go([&] { written = write(writer(), data.data(), data.size()); });
  world_.Go([&] { world_.scheduler()->Cancel(writing); });
  world_.RunAll();
  EXPECT_EQ(written, 65536);
}

TEST_F(FilesTest, ErrorsAreTheKernels) {
  world_.Run([&] {
    char byte;
    EXPECT_EQ(read(-1, &byte, 1), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(read(writer(), &byte, 1), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(pread(reader(), &byte, 1, 0), -1);
    EXPECT_EQ(errno, ESPIPE);
    EXPECT_EQ(pwrite(writer(), &byte, 1, 0), -1);
    EXPECT_EQ(errno, ESPIPE);
    const int directory = open(directory_.c_str(), O_RDONLY | O_DIRECTORY);
    ASSERT_GE(directory, 0);
    EXPECT_EQ(read(directory, &byte, 1), -1);
    EXPECT_EQ(errno, EISDIR);
    EXPECT_EQ(pread(directory, &byte, 1, -5), -1);
    EXPECT_EQ(errno, EINVAL);
    close(directory);
    const std::vector<iovec> too_many(IOV_MAX + 1, iovec{&byte, 1});
    EXPECT_EQ(readv(reader(), too_many.data(), static_cast<int>(too_many.size())), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(read(reader(), nullptr, 0), 0);
    EXPECT_EQ(fsync(reader()), -1);
    EXPECT_EQ(errno, EINVAL);
  });
}

TEST_F(FilesTest, OSThreadsBlockThemselves) {
  std::thread([&] {
    std::thread writes([&] { EXPECT_EQ(write(writer(), "x", 1), 1); });
    char byte;
    EXPECT_EQ(read(reader(), &byte, 1), 1);
    writes.join();
    const int fd = open(Path("plain").c_str(), O_RDWR | O_CREAT, 0600);
    EXPECT_EQ(pwrite(fd, "abc", 3, 2), 3);
    EXPECT_EQ(pread(fd, &byte, 1, 3), 1);
    EXPECT_EQ(byte, 'b');
    EXPECT_EQ(fdatasync(fd), 0);
    close(fd);
  }).join();
}

// ---- other descriptors ---------------------------------------------------------------------------------------------

TEST_F(FilesTest, SocketsAreReadAndWritten) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  world_.Run([&] {
    EXPECT_EQ(write(fds[0], "abc", 3), 3);
    iovec parts[] = {{const_cast<char*>("de"), 2}, {const_cast<char*>("f"), 1}};
    EXPECT_EQ(writev(fds[0], parts, 2), 3);
    char data[8], more[2];
    EXPECT_EQ(read(fds[1], data, 4), 4);
    iovec targets[] = {{data + 4, 1}, {more, 2}};
    EXPECT_EQ(readv(fds[1], targets, 2), 2);
    EXPECT_EQ(std::string(data, 5) + more[0], "abcdef");
    EXPECT_EQ(pread(fds[1], data, 1, 0), -1);
    EXPECT_EQ(errno, ESPIPE);
    close(fds[0]);
    EXPECT_EQ(read(fds[1], data, 1), 0);
  });
  close(fds[1]);
}

TEST_F(FilesTest, EventFdsPark) {
  const int fd = eventfd(0, 0);
  uint64_t value = 0;
  Beside([&] { EXPECT_EQ(read(fd, &value, sizeof(value)), 8); },
         [&] {
           const uint64_t three = 3;
           EXPECT_EQ(write(fd, &three, sizeof(three)), 8);
         });
  EXPECT_EQ(value, 3u);
  close(fd);
}

TEST_F(FilesTest, TimerFdsPark) {
  const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  const itimerspec in_20_ms = {{0, 0}, {0, 20'000'000}};
  uint64_t expirations = 0;
  Beside([&] { EXPECT_EQ(read(fd, &expirations, sizeof(expirations)), 8); },
         [&] { timerfd_settime(fd, 0, &in_20_ms, nullptr); });
  EXPECT_EQ(expirations, 1u);
  close(fd);
}

TEST_F(FilesTest, SignalFdsPark) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  const int fd = signalfd(-1, &set, 0);
  signalfd_siginfo info{};
  Beside([&] { EXPECT_EQ(read(fd, &info, sizeof(info)), static_cast<ssize_t>(sizeof(info))); },
         [&] { kill(getpid(), SIGUSR1); });
  EXPECT_EQ(info.ssi_signo, static_cast<uint32_t>(SIGUSR1));
  close(fd);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(FilesTest, InotifyParks) {
  const int fd = inotify_init();
  ASSERT_GE(inotify_add_watch(fd, directory_.c_str(), IN_CREATE), 0);
  alignas(inotify_event) char data[1024];
  ssize_t size = 0;
  Beside([&] { size = read(fd, data, sizeof(data)); },
         [&] { close(open(Path("new").c_str(), O_CREAT | O_WRONLY, 0600)); });
  ASSERT_GT(size, static_cast<ssize_t>(sizeof(inotify_event)));
  EXPECT_STREQ(reinterpret_cast<inotify_event*>(data)->name, "new");
  close(fd);
}

TEST_F(FilesTest, TerminalsPark) {
  int master, slave;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  char data[16];
  ssize_t size = 0;
  Beside([&] { size = read(slave, data, sizeof(data)); }, [&] { EXPECT_EQ(write(master, "line\n", 5), 5); });
  ASSERT_EQ(size, 5);
  EXPECT_EQ(std::string(data, 5), "line\n");
  int error = 0;
  green::GreenThread* const reading = world_.Go([&] {
    EXPECT_EQ(read(slave, data, sizeof(data)), -1);
    error = errno;
  });
  world_.Go([&] {
    usleep(5000);  // a thread of the kernel may be in the middle of it by now
    world_.scheduler()->Cancel(reading);
  });
  world_.RunAll();
  EXPECT_EQ(error, ECANCELED);
  close(master);
  close(slave);
}

TEST_F(FilesTest, DevicesAndProcAreRead) {
  world_.Run([&] {
    char data[64] = {};
    const int zero = open("/dev/zero", O_RDONLY);
    data[0] = 'x';
    EXPECT_EQ(read(zero, data, 10), 10);
    EXPECT_EQ(data[0], 0);
    close(zero);
    const int null = open("/dev/null", O_RDWR);
    EXPECT_EQ(read(null, data, 10), 0);
    EXPECT_EQ(write(null, data, 10), 10);
    close(null);
    const int full = open("/dev/full", O_WRONLY);
    EXPECT_EQ(write(full, data, 10), -1);
    EXPECT_EQ(errno, ENOSPC);
    close(full);
    const int random = open("/dev/urandom", O_RDONLY);
    EXPECT_EQ(read(random, data, sizeof(data)), static_cast<ssize_t>(sizeof(data)));
    close(random);
    // That of the process, also if a thread of the kernel opens it.
    const int self = open("/proc/self/stat", O_RDONLY);
    ASSERT_GE(self, 0);
    EXPECT_GT(read(self, data, sizeof(data) - 1), 0);
    EXPECT_EQ(std::atoi(data), getpid());
    close(self);
  });
}

// ---- files ---------------------------------------------------------------------------------------------------------

TEST_F(FilesTest, BigFilesAreWrittenAndReadBack) {
  std::string data(5 << 20, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 >> 3);
  world_.Run([&] {
    const int fd = open(Path("big").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    ASSERT_GE(fd, 0);
    EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    EXPECT_EQ(write(fd, data.data(), data.size()), static_cast<ssize_t>(data.size()));
    EXPECT_EQ(fsync(fd), 0);
    EXPECT_EQ(fdatasync(fd), 0);
    EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
    std::string back(data.size() + 10, '\0');
    EXPECT_EQ(read(fd, back.data(), back.size()), static_cast<ssize_t>(data.size()));
    back.resize(data.size());
    EXPECT_TRUE(back == data);
    EXPECT_EQ(read(fd, back.data(), 10), 0);
    std::string part(1 << 20, '\0');
    EXPECT_EQ(pread(fd, part.data(), part.size(), 4 << 20), 1 << 20);
    EXPECT_TRUE(part == data.substr(4 << 20));
    EXPECT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    EXPECT_EQ(pread(fd, back.data(), back.size(), 0), static_cast<ssize_t>(data.size()));
    EXPECT_TRUE(back == data);
    close(fd);
  });
}

TEST_F(FilesTest, VectorsAtAnOffset) {
  world_.Run([&] {
    const int fd = open(Path("vectors").c_str(), O_RDWR | O_CREAT, 0600);
    char abc[] = "abc", de[] = "de";
    const iovec parts[] = {{abc, 3}, {de, 2}};
    EXPECT_EQ(pwritev(fd, parts, 2, 1), 5);
    EXPECT_EQ(pwritev2(fd, parts, 2, 6, RWF_DSYNC), 5);
    EXPECT_EQ(pwritev2(fd, parts, 1, -1, 0), 3);  // at the position, which was not moved so far
    char first[4], second[10];
    const iovec targets[] = {{first, 4}, {second, 10}};
    EXPECT_EQ(preadv(fd, targets, 2, 0), 11);
    EXPECT_EQ(std::string(first, 4) + std::string(second, 7), "abccdeabcde");
    EXPECT_EQ(preadv2(fd, targets, 2, 0, 0), 11);
    EXPECT_EQ(preadv2(fd, targets, 1, -1, 0), 4);
    EXPECT_EQ(std::string(first, 4), "cdea");
    EXPECT_EQ(preadv(fd, targets, 2, -1), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(preadv2(fd, targets, 2, 0, 1 << 30), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);
    close(fd);
  });
}

TEST_F(FilesTest, WritesOfManyGreenThreadsAtOnePositionLoseNothing) {
  const int fd = open(Path("log").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
  const int same = dup(fd);
  constexpr int kWriters = 20, kLines = 20;
  const std::string line(5000, 'x');
  for (int i = 0; i < kWriters; ++i) {
    world_.Go([&, i] {
      for (int j = 0; j < kLines; ++j) {
        ASSERT_EQ(write(i % 2 == 0 ? fd : same, line.data(), line.size()), static_cast<ssize_t>(line.size()));
        if (j % 5 == 0) world_.scheduler()->Yield();
      }
    });
  }
  world_.RunAll();
  struct stat status;
  ASSERT_EQ(fstat(fd, &status), 0);
  EXPECT_EQ(status.st_size, static_cast<off_t>(line.size() * kWriters * kLines));
  close(fd);
  close(same);
}

// ---- opening -------------------------------------------------------------------------------------------------------

TEST_F(FilesTest, OpensAreTheKernels) {
  const mode_t before = umask(027);
  world_.Run([&] {
    EXPECT_EQ(open(Path("missing").c_str(), O_RDONLY), -1);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(open(std::string(5000, 'x').c_str(), O_RDONLY), -1);
    EXPECT_EQ(errno, ENAMETOOLONG);
    const int directory = open(directory_.c_str(), O_RDONLY | O_DIRECTORY);
    errno = 77;
    const int fd = openat(directory, "made", O_CREAT | O_EXCL | O_WRONLY, 0666);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(errno, 77);
    struct stat status;
    EXPECT_EQ(fstat(fd, &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0640u);
    EXPECT_EQ(openat(directory, "made", O_CREAT | O_EXCL | O_WRONLY, 0666), -1);
    EXPECT_EQ(errno, EEXIST);
    EXPECT_EQ(close(fd), 0);
    EXPECT_EQ(close(directory), 0);
    const int created = creat(Path("created").c_str(), 0600);
    EXPECT_EQ(fcntl(created, F_GETFL) & O_ACCMODE, O_WRONLY);
    EXPECT_EQ(close(created), 0);
  });
  umask(before);
}

TEST_F(FilesTest, ThirtyOpensOfFifosParkAtOnce) {
  constexpr int kFifos = 30;
  int opening = 0, opened = 0, opening_at_first_writer = 0;
  for (int i = 0; i < kFifos; ++i) {
    ASSERT_EQ(mkfifo(Path("fifo" + std::to_string(i)).c_str(), 0600), 0);
    world_.Go([&, i] {
      ++opening;
      const int fd = open(Path("fifo" + std::to_string(i)).c_str(), O_RDONLY);
      ASSERT_GE(fd, 0);
      ++opened;
      char byte = 0;
      EXPECT_EQ(read(fd, &byte, 1), 1);
      EXPECT_EQ(byte, static_cast<char>(i));
      close(fd);
    });
  }
  world_.Go([&] {
    opening_at_first_writer = opening;
    EXPECT_EQ(opened, 0);
    // The last first: it can be served only if the others do not stand in its way.
    for (int i = kFifos; i-- > 0;) {
      const int fd = open(Path("fifo" + std::to_string(i)).c_str(), O_WRONLY);
      ASSERT_GE(fd, 0);
      const char byte = static_cast<char>(i);
      EXPECT_EQ(write(fd, &byte, 1), 1);
      close(fd);
    }
  });
  world_.RunAll();
  EXPECT_EQ(opening_at_first_writer, kFifos);
  EXPECT_EQ(opened, kFifos);
}

TEST_F(FilesTest, AFifoThatNobodyWritesOpensAtOnceWhereNonBlocking) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  world_.Run([&] {
    const int fd = open(Path("fifo").c_str(), O_RDONLY | O_NONBLOCK);
    EXPECT_GE(fd, 0);
    close(fd);
    EXPECT_EQ(open(Path("fifo").c_str(), O_WRONLY | O_NONBLOCK), -1);
    EXPECT_EQ(errno, ENXIO);
  });
}

TEST_F(FilesTest, CancelEndsAnOpen) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  int error = 0;
  green::GreenThread* const opening = world_.Go([&] {
    EXPECT_EQ(open(Path("fifo").c_str(), O_RDONLY), -1);
    error = errno;
  });
  world_.Go([&] {
    usleep(5000);  // a thread of the kernel may be in the middle of it by now
    world_.scheduler()->Cancel(opening);
  });
  world_.RunAll();
  EXPECT_EQ(error, ECANCELED);
}

}  // namespace
}  // namespace greenring::posix
