// system, popen, pclose.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

std::string ReadAll(FILE* stream) {
  std::string all;
  char part[1000];
  while (const size_t size = fread(part, 1, sizeof(part), stream)) all.append(part, size);
  return all;
}

TEST(CommandsTest, SystemTellsTheStatus) {
  PosixWorld world;
  world.Run([] {
    EXPECT_NE(system(nullptr), 0);
    EXPECT_EQ(system("exit 0"), 0);
    EXPECT_EQ(WEXITSTATUS(system("exit 42")), 42);
    EXPECT_EQ(WTERMSIG(system("kill -TERM $$")), SIGTERM);
  });
}

TEST(CommandsTest, CommandsOfSystemRunBesideEachOther) {
  PosixWorld world;
  const int64_t start_ns = Clock::Monotonic()->NowNs();
  for (int i = 0; i < 10; ++i) {
    world.Go([] { EXPECT_EQ(system("sleep 0.3"), 0); });
  }
  world.RunAll();
  const int64_t took_ns = Clock::Monotonic()->NowNs() - start_ns;
  EXPECT_GE(took_ns, 300 * kNanosecondsPerMillisecond);
  EXPECT_LT(took_ns, 2500 * kNanosecondsPerMillisecond);
}

TEST(CommandsTest, SystemIgnoresTheTerminalsSignalsAndItsCommandDoesNot) {
  struct sigaction before;
  ASSERT_EQ(sigaction(SIGINT, nullptr, &before), 0);
  ASSERT_NE(before.sa_handler, SIG_IGN);
  PosixWorld world;
  world.Run([] {
    EXPECT_EQ(system("kill -INT $PPID; kill -QUIT $PPID"), 0);  // would end this process
    EXPECT_EQ(WTERMSIG(system("kill -INT $$")), SIGINT);
  });
  struct sigaction after;
  ASSERT_EQ(sigaction(SIGINT, nullptr, &after), 0);
  EXPECT_EQ(after.sa_handler, before.sa_handler);
}

TEST(CommandsTest, ACancelOfSystemEndsItsShell) {
  PosixWorld world;
  int error = 0;
  green::GreenThread* const running = world.Go([&] {
    EXPECT_EQ(system("exec sleep 1000"), -1);
    error = errno;
  });
  world.Go([&] { world.scheduler()->Cancel(running); });
  world.RunAll();
  EXPECT_EQ(error, ECANCELED);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(CommandsTest, PopenReadsWhatTheCommandWrites) {
  PosixWorld world;
  world.Run([] {
    FILE* const stream = popen("echo one; echo two; exit 3", "r");
    ASSERT_NE(stream, nullptr);
    EXPECT_EQ(ReadAll(stream), "one\ntwo\n");
    EXPECT_TRUE(feof(stream));
    EXPECT_EQ(WEXITSTATUS(pclose(stream)), 3);
  });
}

TEST(CommandsTest, PopenWritesWhatTheCommandReads) {
  PosixWorld world;
  world.Run([] {
    FILE* const stream = popen("read line; test \"$line\" = hello", "w");
    ASSERT_NE(stream, nullptr);
    EXPECT_GT(fprintf(stream, "%s\n", "hello"), 0);
    EXPECT_EQ(pclose(stream), 0);
  });
}

TEST(CommandsTest, StreamsOfPopenPark) {
  PosixWorld world;
  std::string order;
  world.Go([&] {
    FILE* const stream = popen("sleep 0.2; echo late", "r");
    EXPECT_EQ(ReadAll(stream), "late\n");
    order += "read ";
    EXPECT_EQ(pclose(stream), 0);
  });
  world.Go([&] { order += "other "; });
  world.RunAll();
  EXPECT_EQ(order, "other read ");
}

TEST(CommandsTest, MoreThanAPipeHoldsGoesThroughAStream) {
  PosixWorld world;
  world.Run([] {
    const std::string data(1 << 20, 'x');
    FILE* const stream = popen("test $(wc -c) = 1048576", "w");
    EXPECT_EQ(fwrite(data.data(), 1, data.size(), stream), data.size());
    EXPECT_EQ(pclose(stream), 0);
  });
}

TEST(CommandsTest, AStreamHasItsPipesDescriptor) {
  PosixWorld world;
  world.Run([] {
    for (const char* mode : {"r", "re"}) {
      FILE* const stream = popen("true", mode);
      const int fd = fileno(stream);
      ASSERT_GE(fd, 0);
      EXPECT_EQ(fcntl(fd, F_GETFD), mode[1] == 'e' ? FD_CLOEXEC : 0);
      EXPECT_EQ(pclose(stream), 0);
      EXPECT_EQ(fcntl(fd, F_GETFD), -1);
    }
  });
}

TEST(CommandsTest, LaterCommandsDoNotHoldEarlierStreamsOpen) {
  PosixWorld world;
  world.Run([] {
    FILE* const first = popen("cat >/dev/null", "w");
    FILE* const second = popen("echo $$; exec sleep 1000", "r");  // would keep the first one's pipe open
    char line[32] = "";
    ASSERT_NE(fgets(line, sizeof(line), second), nullptr);
    EXPECT_EQ(pclose(first), 0);
    EXPECT_EQ(kill(atoi(line), SIGTERM), 0);
    EXPECT_EQ(WTERMSIG(pclose(second)), SIGTERM);
  });
}

TEST(CommandsTest, StrangeModesAreErrors) {
  PosixWorld world;
  world.Run([] {
    for (const char* mode : {"", "x", "rw", "rx", "e"}) {
      errno = 0;
      EXPECT_EQ(popen("true", mode), nullptr) << mode;
      EXPECT_EQ(errno, EINVAL);
    }
  });
}

TEST(CommandsTest, OSThreadsBlockThemselves) {
  std::thread([] {
    EXPECT_EQ(WEXITSTATUS(system("exit 5")), 5);
    FILE* const stream = popen("echo plain", "r");
    EXPECT_EQ(ReadAll(stream), "plain\n");
    EXPECT_EQ(pclose(stream), 0);
  }).join();
}

TEST(CommandsTest, AnOSThreadMayCloseAGreenThreadsStream) {
  PosixWorld world;
  FILE* stream = nullptr;
  world.Run([&] { stream = popen("echo text; exit 4", "r"); });
  std::thread([&] {
    EXPECT_EQ(ReadAll(stream), "text\n");
    EXPECT_EQ(WEXITSTATUS(pclose(stream)), 4);
  }).join();
}

}  // namespace
}  // namespace greenring::posix
