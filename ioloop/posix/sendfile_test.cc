#include <errno.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include <string>

#include "base/check.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/posix_world.h"
#include "ioloop/posix/socket_test_util.h"

namespace greenring::posix {
namespace {

int FileWith(const std::string& content) {
  const int fd = memfd_create("content", MFD_CLOEXEC);
  GREENRING_CHECK(write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  GREENRING_CHECK(lseek(fd, 0, SEEK_SET) == 0);
  return fd;
}

TEST(SendfileTest, SendfileSendsEverythingAndMovesOneOfThePositions) {
  PosixWorld world;
  Pair pair;
  const std::string data = Pattern(1'000'000);
  const int file = FileWith(data);
  world.Go([&] {
    EXPECT_EQ(sendfile(pair.a(), file, nullptr, 600'000), 600'000);
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), 600'000);
    off_t offset = 600'000;
    EXPECT_EQ(sendfile(pair.a(), file, &offset, 10'000'000), 400'000);
    EXPECT_EQ(offset, 1'000'000);
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), 600'000);
    EXPECT_EQ(sendfile(pair.a(), file, &offset, 1), 0);
    EXPECT_EQ(sendfile(pair.a(), file, &offset, 0), 0);
  });
  world.Go([&] { EXPECT_TRUE(ReceiveAll(pair.b(), data.size()) == data); });
  world.RunAll();
  close(file);
}

TEST(SendfileTest, SendfileTellsErrorsAndWhatWasSentBeforeThem) {
  PosixWorld world;
  Pair pair, full;
  const int file = FileWith(Pattern(3'000'000));
  world.Run([&] {
    SetTimeout(pair.a(), SO_SNDTIMEO, 10 * kMs);
    const ssize_t sent = sendfile(pair.a(), file, nullptr, 3'000'000);
    EXPECT_TRUE(sent > 0 && sent < 3'000'000) << sent;
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), sent);
    EXPECT_EQ(sendfile(pair.a(), file, nullptr, 3'000'000), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), sent);
    off_t offset = -1;
    EXPECT_EQ(sendfile(pair.a(), file, &offset, 1), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(sendfile(-1, file, nullptr, 1), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(sendfile(pair.a(), -1, nullptr, 1), -1);
    EXPECT_EQ(errno, EBADF);
    SetNonBlocking(full.a());
    const uint64_t switches = world.scheduler()->stats().switches;
    Fill(full.a());
    EXPECT_EQ(sendfile(full.a(), file, nullptr, 1), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(world.scheduler()->stats().switches, switches);
  });
  close(file);
}

}  // namespace
}  // namespace greenring::posix
