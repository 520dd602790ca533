// Where the Python side writes what the operator must see. worker/ implements it.
//
//   log->Message("GET /cart: application error\nTraceback (most recent call last):\n...");
//   log->RequestMessage({.id = "b4e1-2f", .method = "GET", .target = "/cart"}, "application error\nTraceback ...");
//   log->ApplicationText("wsgi.errors.write() gave this\n");
//
// Called with the GIL held, on any OS thread. Thread-safe. Never parks.
#pragma once

#include <string>
#include <string_view>

namespace greenring::pyhost {

// Which request a message is about.
struct RequestName {
  std::string_view id;  // empty: it has none
  std::string_view method;
  std::string_view target;
};

class ErrorLog {
 public:
  // One message of the server, possibly of several lines, without a final newline.
  virtual void Message(std::string_view message) = 0;

  // The same about one request, which the log names. "GET /cart: " goes before the message where it does nothing else.
  virtual void RequestMessage(const RequestName& request, std::string_view message) {
    Message(std::string(request.method).append(" ").append(request.target).append(": ").append(message));
  }

  // Text the application wrote to wsgi.errors, exactly as it gave it: lines may come in pieces.
  virtual void ApplicationText(std::string_view text) = 0;

 protected:
  ~ErrorLog() = default;
};

}  // namespace greenring::pyhost
