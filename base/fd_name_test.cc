#include "base/fd_name.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace greenring {
namespace {

int PortOf(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

TEST(FdNameTest, ASocketIsItsTwoEnds) {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  const std::string end = "127.0.0.1:" + std::to_string(PortOf(listener.get()));
  EXPECT_EQ(FdName(listener.get()), "tcp " + end + " (listening)");
  const UniqueFd client(socket(AF_INET, SOCK_STREAM, 0));
  address.sin_port = htons(static_cast<uint16_t>(PortOf(listener.get())));
  ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(FdName(client.get()), "tcp 127.0.0.1:" + std::to_string(PortOf(client.get())) + " > " + end);
}

TEST(FdNameTest, AFileIsItsPath) {
  const UniqueFd file(open("/dev/null", O_RDONLY));
  EXPECT_EQ(FdName(file.get()), "/dev/null");
}

TEST(FdNameTest, WhatHasNoPathIsItsKind) {
  const UniqueFd event(eventfd(0, 0));
  EXPECT_EQ(FdName(event.get()), "eventfd");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd reader(ends[0]), writer(ends[1]);
  EXPECT_EQ(FdName(reader.get()).substr(0, 6), "pipe:[");
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const UniqueFd here(pair[0]), there(pair[1]);
  EXPECT_EQ(FdName(here.get()), "unix");
}

TEST(FdNameTest, AClosedOneIsThat) { EXPECT_EQ(FdName(1'000'000), "closed"); }

}  // namespace
}  // namespace greenring
