// The terminal while `top` has it: ncurses, and its state restored however the process ends.
//
//   absl::StatusOr<std::unique_ptr<Terminal>> terminal = Terminal::Open(/*color=*/true);
//   (*terminal)->Draw(screen);
//   int key = (*terminal)->ReadKey(absl::Milliseconds(100));
//
// One at a time, on one thread.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/greenctl/top/screen.h"

namespace greenring::greenctl {

class Terminal {
 public:
  // FAILED_PRECONDITION when there is none, or its kind ($TERM) is unknown.
  static absl::StatusOr<std::unique_ptr<Terminal>> Open(bool color);

  // Restores it. So do quick_exit and a signal that kills the process, but SIGKILL.
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  int width() const;
  int height() const;

  void Draw(const Screen& screen);

  // kKeyNone after `timeout`.
  int ReadKey(absl::Duration timeout);

 private:
  explicit Terminal(bool color) : color_(color) {}

  const bool color_;
};

}  // namespace greenring::greenctl
