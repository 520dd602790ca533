// Names that need no network: of /etc/hosts and /etc/services, and numbers.
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "ioloop/posix/offload.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

std::string FirstAddress(const addrinfo* results) {
  char text[NI_MAXHOST] = "";
  getnameinfo(results->ai_addr, results->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST);
  return text;
}

TEST(NamesTest, NumbersNeedNoHelper) {
  PosixWorld world;
  world.Run([&] {
    const uint64_t turns = world.scheduler()->stats().turns;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* results = nullptr;
    ASSERT_EQ(getaddrinfo("192.0.2.7", "80", &hints, &results), 0);
    EXPECT_EQ(FirstAddress(results), "192.0.2.7");
    EXPECT_EQ(ntohs(reinterpret_cast<sockaddr_in*>(results->ai_addr)->sin_port), 80);
    EXPECT_EQ(results->ai_next, nullptr);
    freeaddrinfo(results);
    ASSERT_EQ(getaddrinfo("2001:db8::1", nullptr, nullptr, &results), 0);
    EXPECT_EQ(FirstAddress(results), "2001:db8::1");
    freeaddrinfo(results);
    hints.ai_flags = AI_PASSIVE;
    hints.ai_family = AF_INET;
    ASSERT_EQ(getaddrinfo(nullptr, "8080", &hints, &results), 0);
    EXPECT_EQ(FirstAddress(results), "0.0.0.0");
    freeaddrinfo(results);
    hints.ai_flags = AI_NUMERICHOST;
    EXPECT_EQ(getaddrinfo("localhost", nullptr, &hints, &results), EAI_NONAME);
    hints.ai_flags = AI_CANONNAME;
    ASSERT_EQ(getaddrinfo("192.0.2.7", nullptr, &hints, &results), 0);
    EXPECT_STREQ(results->ai_canonname, "192.0.2.7");
    freeaddrinfo(results);
    EXPECT_EQ(getaddrinfo(nullptr, nullptr, nullptr, &results), EAI_NONAME);
    EXPECT_EQ(world.scheduler()->stats().turns, turns);
  });
}

TEST(NamesTest, TheSameErrorsAsOnAnOSThread) {
  addrinfo hints{};
  hints.ai_family = AF_INET6;
  addrinfo* results = nullptr;
  int plain[3], green[3];
  const auto ask = [&](int* errors) {
    errors[0] = getaddrinfo("192.0.2.7", "80", &hints, &results);
    errors[1] = getaddrinfo("192.0.2.7", "no-such-service", nullptr, &results);
    addrinfo strange{};
    strange.ai_family = 12345;
    errors[2] = getaddrinfo("192.0.2.7", "80", &strange, &results);
  };
  std::thread([&] { ask(plain); }).join();
  PosixWorld world;
  world.Run([&] { ask(green); });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(green[i], plain[i]) << i;
}

TEST(NamesTest, ManyGreenThreadsResolveBesideEachOther) {
  PosixWorld world;
  int resolved = 0;
  for (int i = 0; i < 20; ++i) {
    world.Go([&] {
      addrinfo hints{};
      hints.ai_family = AF_INET;
      hints.ai_socktype = SOCK_STREAM;
      addrinfo* results = nullptr;
      ASSERT_EQ(getaddrinfo("localhost", "http", &hints, &results), 0);
      EXPECT_EQ(FirstAddress(results), "127.0.0.1");
      EXPECT_EQ(ntohs(reinterpret_cast<sockaddr_in*>(results->ai_addr)->sin_port), 80);
      freeaddrinfo(results);
      ++resolved;
    });
  }
  world.RunAll();
  EXPECT_EQ(resolved, 20);
}

TEST(NamesTest, AddressesHaveNames) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(80);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto ask = [&](int flags) {
    char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "";
    EXPECT_EQ(getnameinfo(reinterpret_cast<sockaddr*>(&address), sizeof(address), host, sizeof(host), service,
                          sizeof(service), flags),
              0);
    return std::string(host) + " " + service;
  };
  std::string plain;
  std::thread([&] { plain = ask(0); }).join();
  PosixWorld world;
  world.Run([&] {
    EXPECT_EQ(ask(0), plain);
    EXPECT_EQ(ask(NI_NUMERICHOST | NI_NUMERICSERV), "127.0.0.1 80");
    char host[2];
    EXPECT_EQ(getnameinfo(reinterpret_cast<sockaddr*>(&address), sizeof(address), host, sizeof(host), nullptr, 0,
                          NI_NUMERICHOST),
              EAI_OVERFLOW);
  });
}

TEST(NamesTest, HostEntriesAreOfTheGreenThread) {
  PosixWorld world;
  const hostent* entries[2] = {};
  for (const hostent*& entry : entries) {
    world.Go([&] {
      const hostent* const found = gethostbyname("localhost");
      ASSERT_NE(found, nullptr);
      entry = found;
      world.scheduler()->Yield();
      EXPECT_EQ(found->h_addrtype, AF_INET);
      EXPECT_EQ(*reinterpret_cast<const uint32_t*>(found->h_addr_list[0]), htonl(INADDR_LOOPBACK));
      // The next call of this green thread may use the same place, that of another never does.
      EXPECT_EQ(gethostbyname2("127.0.0.1", AF_INET), found);
      const uint32_t loopback = htonl(INADDR_LOOPBACK);
      ASSERT_NE(gethostbyaddr(&loopback, sizeof(loopback), AF_INET), nullptr);
      while (entries[0] == nullptr || entries[1] == nullptr) world.scheduler()->Yield();
    });
  }
  world.RunAll();
  EXPECT_NE(entries[0], entries[1]);
}

TEST(NamesTest, HostEntriesInTheCallersBuffer) {
  PosixWorld world;
  world.Run([&] {
    hostent entry, *result = nullptr;
    char small[4], buffer[2048];
    int error = 0;
    EXPECT_EQ(gethostbyname_r("localhost", &entry, small, sizeof(small), &result, &error), ERANGE);
    EXPECT_EQ(result, nullptr);
    EXPECT_EQ(gethostbyname_r("localhost", &entry, buffer, sizeof(buffer), &result, &error), 0);
    ASSERT_EQ(result, &entry);
    EXPECT_EQ(entry.h_length, 4);
    const uint32_t loopback = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(gethostbyaddr_r(&loopback, 4, AF_INET, &entry, buffer, sizeof(buffer), &result, &error), 0);
    EXPECT_EQ(result, &entry);
    EXPECT_EQ(gethostbyname2_r("::1", AF_INET6, &entry, buffer, sizeof(buffer), &result, &error), 0);
    EXPECT_EQ(entry.h_length, 16);
  });
}

TEST(NamesTest, TheReasonOfAFailureIsInHErrno) {
  PosixWorld world;
  world.Run([&] {
    h_errno = 77;
    EXPECT_EQ(gethostbyaddr("", 0, AF_INET), nullptr);
    EXPECT_NE(h_errno, 77);
  });
}

}  // namespace
}  // namespace greenring::posix
