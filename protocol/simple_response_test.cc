#include "protocol/simple_response.h"

#include <gtest/gtest.h>

namespace greenring::protocol {
namespace {

TEST(SimpleResponse, SaysWhyAndCloses) {
  EXPECT_EQ(SimpleResponse(400, "both Content-Length and Transfer-Encoding"),
            "HTTP/1.1 400 Bad Request\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Server: greenring\r\n"
            "Content-Length: 59\r\n"
            "Connection: close\r\n"
            "\r\n"
            "400 Bad Request: both Content-Length and Transfer-Encoding\n");
}

TEST(SimpleResponse, OptionsAddTheirHeaders) {
  EXPECT_EQ(SimpleResponse(503, "",
                           {.keep_alive = true,
                            .http10 = true,
                            .retry_after_s = 2,
                            .date_line = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"}),
            "HTTP/1.1 503 Service Unavailable\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Retry-After: 2\r\n"
            "Server: greenring\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Content-Length: 24\r\n"
            "Connection: keep-alive\r\n"
            "\r\n"
            "503 Service Unavailable\n");
}

TEST(SimpleResponse, HeadGetsTheLengthWithoutTheBody) {
  const std::string response = SimpleResponse(500, "", {.keep_alive = true, .is_head = true});
  EXPECT_NE(response.find("Content-Length: 26\r\n"), std::string::npos);
  EXPECT_TRUE(response.ends_with("\r\n\r\n"));
}

TEST(SimpleResponse, EveryStatusOfTheParsersHasAName) {
  for (int status : {400, 408, 413, 414, 417, 431, 500, 501, 502, 503, 504, 505}) {
    EXPECT_NE(ReasonPhrase(status), "Unknown") << status;
  }
}

}  // namespace
}  // namespace greenring::protocol
