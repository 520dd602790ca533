#include "worker/request_id.h"

#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {
namespace {

TEST(RequestIdTest, SaneOnesAreShortAndHarmless) {
  for (const std::string_view sane : {"a", "0", "2f1c-77.B_", "01890a5d-ac96-774b-bcce-b302099a8057"}) {
    EXPECT_TRUE(IsSaneRequestId(sane)) << sane;
  }
  EXPECT_TRUE(IsSaneRequestId(std::string(kRequestIdBytesMax, 'x')));
  EXPECT_FALSE(IsSaneRequestId(std::string(kRequestIdBytesMax + 1, 'x')));
  for (const std::string_view strange : {"", " ", "a b", "a\"b", "a/b", "\xc3\xa4", "a\n", "{}"}) {
    EXPECT_FALSE(IsSaneRequestId(strange)) << strange;
  }
}

TEST(RequestIdTest, OursAreThePrefixAndTheNumber) {
  const RequestIds ids(0x123456789abc);
  RequestIds::Buffer buffer;
  EXPECT_EQ(ids.Write(1, &buffer), "cba987654321-1");
  EXPECT_EQ(ids.Write(0, &buffer), "cba987654321-0");
  EXPECT_EQ(ids.Write(0x1f, &buffer), "cba987654321-1f");
  EXPECT_EQ(ids.Write(UINT64_MAX, &buffer), "cba987654321-ffffffffffffffff");
  EXPECT_TRUE(IsSaneRequestId(ids.Write(UINT64_MAX, &buffer)));
}

TEST(RequestIdTest, ProcessesHaveDifferentPrefixes) {
  RequestIds::Buffer a, b;
  EXPECT_NE(RequestIds().Write(1, &a), RequestIds().Write(1, &b));
}

class ServiceRequestIdTest : public HttpServiceTest {
 protected:
  ServiceRequestIdTest() {
    app_ = [this](HttpExchange* exchange) {
      ids_.emplace_back(exchange->request_id());
      Reply(exchange, "ok");
    };
  }

  std::vector<std::string> ids_;
};

TEST_F(ServiceRequestIdTest, IsTheClientsWhereThatIsSane) {
  Start();
  const int peer = Connect();
  Exchanged(peer, "GET / HTTP/1.1\r\nHost: h\r\nX-Request-ID: abc-1\r\n\r\n");
  Exchanged(peer, "GET / HTTP/1.1\r\nx-request-id: abc-2\r\nHost: h\r\nX-REQUEST-ID: other\r\n\r\n");
  EXPECT_EQ(ids_, (std::vector<std::string>{"abc-1", "abc-2"}));
  ring_.PeerClose(peer);
}

TEST_F(ServiceRequestIdTest, IsOursElseAndUnlikeAnyOther) {
  Start();
  const int peer = Connect();
  std::string requests;
  for (int i = 0; i < 50; ++i) requests += "GET / HTTP/1.1\r\nHost: h\r\nX-Request-ID: not sane\r\n\r\n";
  Exchanged(peer, requests);
  Exchanged(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(std::set<std::string>(ids_.begin(), ids_.end()).size(), 51u);
  for (const std::string& id : ids_) EXPECT_TRUE(IsSaneRequestId(id)) << id;
  ring_.PeerClose(peer);
}

}  // namespace
}  // namespace greenring::worker
