// Tests of WsgiHandler: applications in Python source, exchanges without a connection.
//
//   class StreamTest : public WsgiHandlerTest {};
//   TEST_F(StreamTest, ...) {
//     const auto exchange = Get("def app(environ, start_response):\n    START\n    return [b'hello']\n");
//     EXPECT_EQ(exchange->body(), "hello");
//   }
//
// At the end of each test the error log must hold no message that the test did not take.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pyhost/error_log.h"
#include "pyhost/fake_exchange.h"
#include "pyhost/python_test.h"
#include "pyhost/request_extension.h"
#include "pyhost/wsgi_handler.h"

namespace greenring::pyhost {

class MemoryLog final : public ErrorLog {
 public:
  void Message(std::string_view message) override { messages.emplace_back(message); }
  void ApplicationText(std::string_view text) override { application_text += text; }

  std::vector<std::string> messages;
  std::string application_text;
};

inline constexpr const char kGet[] = "GET /path?query HTTP/1.1\r\nHost: x\r\n\r\n";

class WsgiHandlerTest : public PythonTest {
 protected:
  void TearDown() override {
    handler_.reset();
    PythonTest::TearDown();
    EXPECT_THAT(log_.messages, ::testing::ElementsAre()) << "a test that provokes messages takes them";
  }

  // `source` defines `app`, with start_response(status, headers) abbreviated where it says START.
  void Serve(std::string source) {
    for (size_t at; (at = source.find("START")) != std::string::npos;) {
      source.replace(at, 5, "start_response('200 OK', [('Content-Type', 'text/plain')])");
    }
    Execute(source);
    handler_ =
        std::make_unique<WsgiHandler>(Application{PyRef::Share(PyDict_GetItemString(globals_.get(), "app")), "test"},
                                      ServerInfo{}, &log_, extension_);
    listener_ = handler_->AddListener({.server_name = "localhost", .server_port = "80"});
  }

  void Handle(FakeExchange* exchange) {
    RunGreen({[this, exchange] { HandleHere(exchange); }});
  }

  void HandleHere(FakeExchange* exchange) {
    handler_->Handle({exchange->head(), *exchange->peer(), *listener_}, exchange);
    EXPECT_EQ(PyErr_Occurred(), nullptr);
  }

  // The response to GET of the application in `source`.
  std::unique_ptr<FakeExchange> Get(const std::string& source, const std::string& request = kGet) {
    Serve(source);
    auto exchange = std::make_unique<FakeExchange>(request);
    Handle(exchange.get());
    return exchange;
  }

  // What an application that evaluates `expression` (on `body`, wsgi.input) gets from a body that arrives in `pieces`.
  std::string Read(const std::string& expression, std::vector<std::string> pieces, bool chunked = false) {
    size_t size = 0;
    for (const std::string& piece : pieces) size += piece.size();
    Serve("def app(environ, start_response):\n    body = environ['wsgi.input']\n    result = " + expression +
          "\n    START\n    return [repr(result).encode()]\n");
    FakeExchange exchange("POST / HTTP/1.1\r\nHost: x\r\n" +
                              (chunked ? "Transfer-Encoding: chunked" : "Content-Length: " + std::to_string(size)) +
                              "\r\n\r\n",
                          std::move(pieces));
    Handle(&exchange);
    return exchange.body();
  }

  std::string TakeMessage() {
    if (log_.messages.empty()) return "(none)";
    std::string message = log_.messages.front();
    log_.messages.erase(log_.messages.begin());
    return message;
  }

  void ExpectError(const FakeExchange& exchange, const std::string& message) {
    EXPECT_THAT(exchange.head_text(), ::testing::StartsWith("HTTP/1.1 500 Internal Server Error\r\n"));
    EXPECT_THAT(TakeMessage(), ::testing::AllOf(::testing::StartsWith("GET /path?query: the application failed\n"),
                                                ::testing::HasSubstr(message)));
  }

  MemoryLog log_;
  RequestExtension* extension_ = nullptr;  // of the handlers of Serve
  std::unique_ptr<WsgiHandler> handler_;
  const EnvironTemplate* listener_ = nullptr;
};

}  // namespace greenring::pyhost
