// Where the Python side writes what the operator must see. worker/ implements it.
//
//   log->Message("GET /cart: application error\nTraceback (most recent call last):\n...");
//   log->ApplicationText("wsgi.errors.write() gave this\n");
//
// Called with the GIL held, on any OS thread. Thread-safe. Never parks.
#pragma once

#include <string_view>

namespace greenring::pyhost {

class ErrorLog {
 public:
  // One message of the server, possibly of several lines, without a final newline.
  virtual void Message(std::string_view message) = 0;

  // Text the application wrote to wsgi.errors, exactly as it gave it: lines may come in pieces.
  virtual void ApplicationText(std::string_view text) = 0;

 protected:
  ~ErrorLog() = default;
};

}  // namespace greenring::pyhost
