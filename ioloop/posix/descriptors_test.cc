// What closing and replacing descriptors does to those who are parked on them.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

class DescriptorsTest : public ::testing::Test {
 protected:
  DescriptorsTest() { EXPECT_EQ(pipe(pipe_), 0); }
  ~DescriptorsTest() override {
    for (int fd : pipe_) {
      if (fcntl(fd, F_GETFD) >= 0) close(fd);
    }
  }

  int reader() const { return pipe_[0]; }
  int writer() const { return pipe_[1]; }

  // Makes a green thread that reads a byte.
  void GoRead() {
    world_.Go([this] {
      char byte;
      errno = 0;
      result_ = read(reader(), &byte, 1);
      error_ = errno;
    });
  }

  PosixWorld world_;
  int pipe_[2];
  ssize_t result_ = 77;
  int error_ = 0;
};

TEST_F(DescriptorsTest, CloseWakesAParkedReader) {
  GoRead();
  world_.Go([&] { EXPECT_EQ(close(reader()), 0); });
  world_.RunAll();
  EXPECT_EQ(result_, -1);
  EXPECT_EQ(error_, EBADF);
}

TEST_F(DescriptorsTest, CloseByAnOSThreadWakesAParkedReader) {
  GoRead();
  std::thread closes;
  world_.Go([&] { closes = std::thread([&] { EXPECT_EQ(close(reader()), 0); }); });
  world_.RunAll();
  closes.join();
  EXPECT_EQ(result_, -1);
  EXPECT_EQ(error_, EBADF);
}

TEST_F(DescriptorsTest, CloseOfAnotherDescriptorWakesNobody) {
  const int other = dup(reader());
  GoRead();
  world_.Go([&] {
    EXPECT_EQ(close(other), 0);
    EXPECT_EQ(result_, 77);
    EXPECT_EQ(write(writer(), "x", 1), 1);
  });
  world_.RunAll();
  EXPECT_EQ(result_, 1);
}

TEST_F(DescriptorsTest, ReplacingADescriptorWakesItsParkedReader) {
  for (const bool with_flags : {false, true}) {
    const int null = open("/dev/null", O_RDONLY);
    GoRead();
    world_.Go([&] { EXPECT_EQ(with_flags ? dup3(null, reader(), O_CLOEXEC) : dup2(null, reader()), reader()); });
    world_.RunAll();
    EXPECT_EQ(result_, -1);
    EXPECT_EQ(error_, EBADF);
    close(null);
    for (int fd : pipe_) close(fd);
    ASSERT_EQ(pipe(pipe_), 0);
  }
}

TEST_F(DescriptorsTest, WhatIsParkedNeverReachesTheFileThatTakesTheDescriptorsPlace) {
  // Fills the pipe, so that the write below parks.
  world_.Run([&] {
    ASSERT_EQ(fcntl(writer(), F_SETFL, O_NONBLOCK), 0);
    const std::string full(65536, 'x');
    ASSERT_EQ(write(writer(), full.data(), full.size()), 65536);
    ASSERT_EQ(fcntl(writer(), F_SETFL, 0), 0);
  });
  int next[2];
  ASSERT_EQ(pipe(next), 0);
  int error = 0;
  world_.Go([&] {
    EXPECT_EQ(write(writer(), "x", 1), -1);
    error = errno;
  });
  world_.Go([&] {
    const int fd = writer();
    EXPECT_EQ(close(fd), 0);
    EXPECT_EQ(dup(next[1]), fd);
  });
  world_.RunAll();
  EXPECT_EQ(error, EBADF);
  ASSERT_EQ(fcntl(next[0], F_SETFL, O_NONBLOCK), 0);
  char byte;
  EXPECT_EQ(read(next[0], &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  for (int fd : next) close(fd);
}

TEST_F(DescriptorsTest, AReplacementThatFailsWakesNobody) {
  GoRead();
  world_.Go([&] {
    EXPECT_EQ(dup2(reader(), reader()), reader());
    EXPECT_EQ(dup2(-1, reader()), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(dup3(writer(), reader(), 12345), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(dup3(reader(), reader(), 0), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(write(writer(), "x", 1), 1);
  });
  world_.RunAll();
  EXPECT_EQ(result_, 1);
}

TEST_F(DescriptorsTest, ClosingWhatIsNotOpenIsAnError) {
  world_.Run([&] {
    EXPECT_EQ(close(-1), -1);
    EXPECT_EQ(errno, EBADF);
  });
  EXPECT_EQ(close(-1), -1);
  EXPECT_EQ(errno, EBADF);
}

}  // namespace
}  // namespace greenring::posix
