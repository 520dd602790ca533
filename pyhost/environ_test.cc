#include "pyhost/environ.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "protocol/http1_parser.h"
#include "protocol/uwsgi_parser.h"
#include "protocol/wire_protocol.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

class EnvironTest : public PythonTest {
 protected:
  void SetUp() override {
    PythonTest::SetUp();
    builder_.emplace(ServerInfo{.multiprocess = true}, errors_.get(), Py_None);
    listener_ = builder_->AddListener({.server_name = "0.0.0.0", .server_port = "8080"});
    peer_.family = PeerAddress::Family::kIpv4;
    for (int i = 0; i < 4; ++i) peer_.ip[i] = static_cast<uint8_t>(10 + i);
    peer_.port = 54321;
  }

  // Binds `environ` to what `request` gives.
  void Build(const std::string& request, size_t script_name_bytes = 0) {
    protocol::RequestHead head;
    const protocol::Limits limits{.underscore_names = protocol::UnderscoreNames::kAllow};
    const protocol::ParseResult result = protocol::ParseRequestHead(request, limits, &head);
    ASSERT_EQ(result.kind, protocol::ParseResult::Kind::kComplete) << result.reason;
    const PyRef environ = builder_->Build(
        {.head = head, .peer = peer_, .listener = *listener_, .script_name_bytes = script_name_bytes}, input_.get());
    ASSERT_TRUE(environ);
    PyDict_SetItemString(globals_.get(), "environ", environ.get());
  }

  std::string Value(const std::string& key) { return Evaluate("environ.get('" + key + "', '(absent)')"); }

  PyRef errors_{PyDict_New()};
  PyRef input_{PyDict_New()};
  std::optional<EnvironBuilder> builder_;
  const EnvironTemplate* listener_ = nullptr;
  PeerAddress peer_;
};

constexpr const char kGet[] = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";

TEST_F(EnvironTest, HasAllThatPep3333Requires) {
  Build("POST /a/b?c=d HTTP/1.1\r\nHost: example.org:81\r\nContent-Type: text/x\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(Evaluate("type(environ)"), "<class 'dict'>");
  const std::pair<const char*, const char*> expected[] = {{"REQUEST_METHOD", "POST"},
                                                          {"SCRIPT_NAME", ""},
                                                          {"PATH_INFO", "/a/b"},
                                                          {"QUERY_STRING", "c=d"},
                                                          {"CONTENT_TYPE", "text/x"},
                                                          {"CONTENT_LENGTH", "5"},
                                                          {"SERVER_NAME", "0.0.0.0"},
                                                          {"SERVER_PORT", "8080"},
                                                          {"SERVER_PROTOCOL", "HTTP/1.1"},
                                                          {"REMOTE_ADDR", "10.11.12.13"},
                                                          {"REMOTE_PORT", "54321"},
                                                          {"REQUEST_URI", "/a/b?c=d"},
                                                          {"RAW_URI", "/a/b?c=d"},
                                                          {"HTTP_HOST", "example.org:81"},
                                                          {"wsgi.version", "(1, 0)"},
                                                          {"wsgi.url_scheme", "http"},
                                                          {"wsgi.multithread", "True"},
                                                          {"wsgi.multiprocess", "True"},
                                                          {"wsgi.run_once", "False"},
                                                          {"wsgi.input_terminated", "True"},
                                                          {"HTTP_CONTENT_TYPE", "(absent)"},
                                                          {"HTTP_CONTENT_LENGTH", "(absent)"}};
  for (const auto& [key, value] : expected) EXPECT_EQ(Value(key), value) << key;
  PyObject* environ = PyDict_GetItemString(globals_.get(), "environ");
  EXPECT_EQ(PyDict_GetItemString(environ, "wsgi.input"), input_.get());
  EXPECT_EQ(PyDict_GetItemString(environ, "wsgi.errors"), errors_.get());
}

TEST_F(EnvironTest, WhatARequestDoesNotSayIsNotLeftFromAnother) {
  Build("POST /x?q HTTP/1.1\r\nHost: a\r\nContent-Type: b\r\nX-Only: 1\r\n\r\n");
  Execute("environ['added'] = environ['wsgi.version'] = None\n");
  Build("GET / HTTP/1.0\r\n\r\n");
  for (const char* key : {"CONTENT_TYPE", "HTTP_X_ONLY", "HTTP_HOST", "added"})
    EXPECT_EQ(Value(key), "(absent)") << key;
  EXPECT_EQ(Value("REQUEST_METHOD"), "GET");
  EXPECT_EQ(Value("QUERY_STRING"), "");
  EXPECT_EQ(Value("SERVER_PROTOCOL"), "HTTP/1.0");
  EXPECT_EQ(Value("wsgi.version"), "(1, 0)");
}

TEST_F(EnvironTest, PathIsDecodedToBytesAsLatin1) {
  const std::pair<const char*, const char*> paths[] = {{"/caf%C3%A9", "/caf\u00c3\u00a9"},
                                                       {"/a%20b", "/a b"},
                                                       {"/a+b", "/a+b"},
                                                       {"/a%2fb", "/a/b"},
                                                       {"/%25", "/%"},
                                                       {"/%2541", "/%41"},
                                                       {"/a%zz", "/a%zz"}};
  for (const auto& [target, path] : paths) {
    Build(std::string("GET ") + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(Value("PATH_INFO"), path);
    EXPECT_EQ(Value("REQUEST_URI"), target);
  }
}

TEST_F(EnvironTest, AbsoluteAndAsteriskTargetsHaveTheirPath) {
  Build("GET http://example.com/p?q HTTP/1.1\r\nHost: example.com\r\n\r\n");
  EXPECT_EQ(Value("PATH_INFO"), "/p");
  EXPECT_EQ(Value("QUERY_STRING"), "q");
  EXPECT_EQ(Value("HTTP_HOST"), "example.com");
  EXPECT_EQ(Value("REQUEST_URI"), "http://example.com/p?q");
  Build("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(Value("PATH_INFO"), "");
  EXPECT_EQ(Value("REQUEST_URI"), "*");
}

TEST_F(EnvironTest, TheMountPointIsTheScriptNameAndTheRestThePath) {
  Build("GET /shop/cart?a HTTP/1.1\r\nHost: x\r\n\r\n", 5);
  EXPECT_EQ(Value("SCRIPT_NAME"), "/shop");
  EXPECT_EQ(Value("PATH_INFO"), "/cart");
  EXPECT_EQ(Value("REQUEST_URI"), "/shop/cart?a");
  Build("GET /shop HTTP/1.1\r\nHost: x\r\n\r\n", 5);
  EXPECT_EQ(Value("SCRIPT_NAME"), "/shop");
  EXPECT_EQ(Value("PATH_INFO"), "");
  Build("GET /%73hop/a%2fb HTTP/1.1\r\nHost: x\r\n\r\n", 5);
  EXPECT_EQ(Value("SCRIPT_NAME"), "/shop") << "as it was decoded";
  EXPECT_EQ(Value("PATH_INFO"), "/a/b");
  Build("GET /shop HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(Value("SCRIPT_NAME"), "");
}

TEST_F(EnvironTest, HeadersBecomeUpperCaseVariables) {
  Build("GET / HTTP/1.1\r\nhOST: x\r\nuser-agent: UA\r\nX-MiXed-1: Kept Value\r\nX-Empty:\r\nX-Latin: caf\xe9\r\n\r\n");
  EXPECT_EQ(Value("HTTP_HOST"), "x");
  EXPECT_EQ(Value("HTTP_USER_AGENT"), "UA");
  EXPECT_EQ(Value("HTTP_X_MIXED_1"), "Kept Value");
  EXPECT_EQ(Value("HTTP_X_EMPTY"), "");
  EXPECT_EQ(Value("HTTP_X_LATIN"), "caf\u00e9");
}

TEST_F(EnvironTest, RepeatedHeadersAreJoinedInTheirOrder) {
  Build(
      "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nCookie: a=1\r\nX-B: between\r\nx-a: 1\r\nX_A: 3\r\ncookie: b=2\r\n\r\n");
  EXPECT_EQ(Value("HTTP_X_A"), "1,1,3");
  EXPECT_EQ(Value("HTTP_X_B"), "between");
  EXPECT_EQ(Value("HTTP_COOKIE"), "a=1; b=2");
}

TEST_F(EnvironTest, LongNamesAndValuesAndManyHeadersArrive) {
  const std::string name(1000, 'n');
  const std::string value(5000, 'v');
  std::string request = "GET / HTTP/1.1\r\nHost: x\r\n" + name + ": " + value + "\r\n";
  for (int i = 0; i < 90; ++i) request += "X-" + std::to_string(i) + ": " + std::to_string(i) + "\r\n";
  Build(request + "\r\n");
  EXPECT_EQ(Value("HTTP_" + std::string(1000, 'N')), value);
  EXPECT_EQ(Evaluate("all(environ[f'HTTP_X_{i}'] == str(i) for i in range(90))"), "True");
}

TEST_F(EnvironTest, PeersOfEachFamilyAreNamed) {
  for (int i = 0; i < 300; ++i) {  // more than the cache holds
    peer_.ip[3] = static_cast<uint8_t>(i % 256);
    peer_.ip[2] = static_cast<uint8_t>(i / 256);
    peer_.port = static_cast<uint16_t>(i * 200);
    Build(kGet);
    EXPECT_EQ(Value("REMOTE_ADDR"), "10.11." + std::to_string(i / 256) + "." + std::to_string(i % 256));
    EXPECT_EQ(Value("REMOTE_PORT"), std::to_string(i * 200));
  }
  peer_ = {.ip = {0x20, 0x01, 0x0d, 0xb8}, .port = 1, .family = PeerAddress::Family::kIpv6};
  Build(kGet);
  EXPECT_EQ(Value("REMOTE_ADDR"), "2001:db8::");
  peer_ = {};
  Build(kGet);
  EXPECT_EQ(Value("REMOTE_ADDR"), "");
}

TEST_F(EnvironTest, ManyDifferentRequestsLeaveNothingBehind) {
  const auto thousands = [this] {
    for (int i = 0; i < 5000; ++i) {
      const std::string n = std::to_string(i);
      Build("GET /" + n + "?" + n + " HTTP/1.1\r\nHost: " + n + "\r\nX-" + n + ": " + n + "\r\nx-" + n + ": 2\r\n\r\n");
    }
  };
  thousands();
  const int64_t before = AllocatedBlocks();
  thousands();
  EXPECT_NEAR(AllocatedBlocks(), before, 300);  // of 5000 requests
}

class UwsgiEnvironTest : public EnvironTest {
 protected:
  using Variables = std::vector<protocol::Variable>;

  void SetUp() override {
    EnvironTest::SetUp();
    listener_ = builder_->AddListener(
        {.server_name = "localhost", .server_port = "80", .protocol = protocol::WireProtocol::kUwsgi});
  }

  // Binds `environ` to what a packet of these variables, and a method, gives.
  void Build(const Variables& variables, size_t script_name_bytes = 0) {
    std::string packet;
    const auto append = [&packet](std::string_view text) {
      packet += static_cast<char>(text.size() & 0xff);
      packet += static_cast<char>(text.size() >> 8);
      packet += text;
    };
    append("REQUEST_METHOD");
    append("POST");
    for (const protocol::Variable& variable : variables) {
      append(variable.name);
      append(variable.value);
    }
    const std::string size = {static_cast<char>(packet.size() & 0xff), static_cast<char>(packet.size() >> 8)};
    packet = std::string(1, '\0') + size + std::string(1, '\0') + packet;
    protocol::RequestHead head;
    const protocol::ParseResult result = protocol::ParseUwsgiHead(packet, protocol::Limits{}, &head);
    ASSERT_EQ(result.kind, protocol::ParseResult::Kind::kComplete) << result.reason;
    const PyRef environ = builder_->Build({.head = head,
                                           .peer = peer_,
                                           .listener = *listener_,
                                           .request_id = "id",
                                           .script_name_bytes = script_name_bytes},
                                          input_.get());
    ASSERT_TRUE(environ);
    PyDict_SetItemString(globals_.get(), "environ", environ.get());
  }
};

TEST_F(UwsgiEnvironTest, TheVariablesAreThereAsTheyCame) {
  Build({{"PATH_INFO", "/a\xe9"}, {"SERVER_NAME", "shop"}, {"HTTP_X_Y", "1"}, {"X.y-z", "2"}, {"REMOTE_ADDR", "::1"}});
  const std::pair<const char*, const char*> expected[] = {{"REQUEST_METHOD", "POST"},  {"PATH_INFO", "/a\xc3\xa9"},
                                                          {"SERVER_NAME", "shop"},     {"SERVER_PORT", "80"},
                                                          {"HTTP_X_Y", "1"},           {"X.y-z", "2"},
                                                          {"REMOTE_ADDR", "::1"},      {"SCRIPT_NAME", ""},
                                                          {"QUERY_STRING", ""},        {"HTTP_HOST", "(absent)"},
                                                          {"RAW_URI", "(absent)"},     {"REQUEST_URI", "(absent)"},
                                                          {"wsgi.url_scheme", "http"}, {"greenring.request_id", "id"}};
  for (const auto& [key, value] : expected) EXPECT_EQ(Value(key), value) << key;
  PyObject* environ = PyDict_GetItemString(globals_.get(), "environ");
  EXPECT_EQ(PyDict_GetItemString(environ, "wsgi.input"), input_.get());
}

TEST_F(UwsgiEnvironTest, OfARepeatedNameTheLastCounts) {
  Build({{"SERVER_NAME", "a"}, {"SERVER_NAME", "b"}, {"HTTP_X", "1"}, {"HTTP_X", "2"}});
  EXPECT_EQ(Value("SERVER_NAME"), "b");
  EXPECT_EQ(Value("HTTP_X"), "2");
}

TEST_F(UwsgiEnvironTest, NothingIsLeftFromAnotherRequest) {
  Build({{"HTTP_ONLY", "1"}, {"HTTPS", "on"}, {"PATH_INFO", "/a"}});
  EXPECT_EQ(Value("wsgi.url_scheme"), "https");
  Build({});
  EXPECT_EQ(Value("wsgi.url_scheme"), "http");
  EXPECT_EQ(Value("HTTP_ONLY"), "(absent)");
  EXPECT_EQ(Value("PATH_INFO"), "");
  EXPECT_EQ(Value("REMOTE_ADDR"), "10.11.12.13");
}

TEST_F(UwsgiEnvironTest, ARoutesPrefixMovesFromPathToScriptName) {
  Build({{"PATH_INFO", "/shop/a%2Fb"}}, 5);
  EXPECT_EQ(Value("SCRIPT_NAME"), "/shop");
  EXPECT_EQ(Value("PATH_INFO"), "/a%2Fb");
  Build({{"SCRIPT_NAME", "/site"}, {"PATH_INFO", "/shop"}}, 5);
  EXPECT_EQ(Value("SCRIPT_NAME"), "/site/shop");
  EXPECT_EQ(Value("PATH_INFO"), "");
  Build({{"REQUEST_URI", "/%73hop/a"}}, 5);
  EXPECT_EQ(Value("SCRIPT_NAME"), "/shop");
  EXPECT_EQ(Value("PATH_INFO"), "");
}

}  // namespace
}  // namespace greenring::pyhost
