#include "control/inboxes.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "base/descriptor_message.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

std::string Received(int fd) {
  char text[100];
  const ssize_t size = recv(fd, text, sizeof(text), MSG_DONTWAIT);
  return size < 0 ? "nothing" : std::string(text, static_cast<size_t>(size));
}

TEST(InboxesTest, WhatIsSentIsReceivedInWholeMessages) {
  Inboxes inboxes;
  ASSERT_TRUE(inboxes.Make("pools/web").ok());
  const Inboxes::Inbox& inbox = *inboxes.Find("pools/web");
  ASSERT_EQ(send(inbox.sending->get(), "one", 3, 0), 3);
  ASSERT_EQ(send(inbox.sending->get(), "two", 3, 0), 3);
  EXPECT_EQ(Received(inbox.receiving->get()), "one");
  EXPECT_EQ(Received(inbox.receiving->get()), "two");
  EXPECT_EQ(Received(inbox.receiving->get()), "nothing");
}

TEST(InboxesTest, AnInboxStaysTheSameUntilItIsClosed) {
  Inboxes inboxes;
  EXPECT_EQ(inboxes.Find("pools/web"), nullptr);
  ASSERT_TRUE(inboxes.Make("pools/web").ok());
  const SharedFd sending = inboxes.Find("pools/web")->sending;
  ASSERT_TRUE(inboxes.Make("pools/web").ok());
  EXPECT_EQ(inboxes.Find("pools/web")->sending, sending);
  inboxes.Close("pools/web");
  EXPECT_EQ(inboxes.Find("pools/web"), nullptr);
  EXPECT_EQ(send(sending->get(), "x", 1, MSG_NOSIGNAL), -1) << "nobody is there any more";
}

TEST(InboxesTest, WhatWaitsIsClosedWithItsInbox) {
  Inboxes inboxes;
  ASSERT_TRUE(inboxes.Make("pools/web").ok());
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reading(ends[0]);
  UniqueFd handed(ends[1]);
  DescriptorMessage message(std::string_view("x"), {handed.get()});
  ASSERT_EQ(sendmsg(inboxes.Find("pools/web")->sending->get(), message.header(), 0), 1);
  handed.Reset();
  pollfd end = {.fd = reading.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&end, 1, 0), 0) << "it waits";
  inboxes.Close("pools/web");
  EXPECT_EQ(poll(&end, 1, 10'000), 1) << "it is still open";
}

TEST(InboxesTest, HeadsOfManyRequestsFit) {
  Inboxes inboxes;
  ASSERT_TRUE(inboxes.Make("pools/web").ok());
  const std::string head(500, 'x');
  int count = 0;
  while (send(inboxes.Find("pools/web")->sending->get(), head.data(), head.size(), MSG_DONTWAIT) > 0) ++count;
  EXPECT_GE(count, 100);  // what the smallest usual net.core.wmem_max gives
}

TEST(InboxesTest, WithoutDescriptorsItIsAnError) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Inboxes inboxes;
  const absl::Status status = inboxes.Make("pools/web");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("pools/web"), std::string::npos) << status;
  EXPECT_EQ(inboxes.Find("pools/web"), nullptr);
}

}  // namespace
}  // namespace greenring::control
