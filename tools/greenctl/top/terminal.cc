#include "tools/greenctl/top/terminal.h"

// Before ncurses.h, whose macros are in the way of others.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"

#define NCURSES_NOMACROS 1
#define NCURSES_WIDECHAR 1
#include <ncurses.h>

namespace greenring::greenctl {
namespace {

// ---- what a process that dies must put right, with calls that are allowed in a signal handler ----

std::atomic<bool> active{false};
termios settings_before;

void RestoreRoughly() {
  if (!active.exchange(false)) return;
  // Leaves the alternate screen, shows the cursor, plain text: understood by every terminal of these days.
  static constexpr char kSequence[] = "\x1b[?1049l\x1b[?25h\x1b[0m\x1b[?1l\x1b>\r\n";
  if (write(STDOUT_FILENO, kSequence, sizeof(kSequence) - 1) < 0) return;  // it is gone, with all its settings
  tcsetattr(STDIN_FILENO, TCSANOW, &settings_before);
}

void OnFatalSignal(int signal) {
  RestoreRoughly();
  raise(signal);  // its default action is back (SA_RESETHAND), and comes when this returns
}

void RestoreOnDeath() {
  static bool done = false;
  if (std::exchange(done, true)) return;
  at_quick_exit(RestoreRoughly);
  struct sigaction action {};
  action.sa_handler = OnFatalSignal;
  action.sa_flags = SA_RESETHAND;
  for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) sigaction(signal, &action, nullptr);
}

// ---- styles ----

enum ColorPair : short { kGreen = 1, kYellow, kRed, kHeadingPair };

void StartColors() {
  start_color();
  use_default_colors();
  init_pair(kGreen, COLOR_GREEN, -1);
  init_pair(kYellow, COLOR_YELLOW, -1);
  init_pair(kRed, COLOR_RED, -1);
  init_pair(kHeadingPair, COLOR_CYAN, -1);
}

attr_t AttributesOf(Style style, bool color) {
  switch (style) {
    case Style::kPlain:
      return A_NORMAL;
    case Style::kBold:
      return A_BOLD;
    case Style::kHeading:
      return A_BOLD | (color ? COLOR_PAIR(kHeadingPair) : A_UNDERLINE);
    case Style::kSelected:
      return A_REVERSE;
    case Style::kDim:
      return A_DIM;
    case Style::kGood:
      return color ? COLOR_PAIR(kGreen) : A_NORMAL;
    case Style::kWarning:
      return color ? COLOR_PAIR(kYellow) : A_BOLD;
    case Style::kBad:
      return A_BOLD | (color ? COLOR_PAIR(kRed) : A_NORMAL);
  }
  return A_NORMAL;
}

int ToKey(int code, wint_t character) {
  if (code == KEY_CODE_YES) {
    switch (character) {
      case KEY_UP:
        return kKeyUp;
      case KEY_DOWN:
        return kKeyDown;
      case KEY_PPAGE:
        return kKeyPageUp;
      case KEY_NPAGE:
        return kKeyPageDown;
      case KEY_ENTER:
        return kKeyEnter;
      case KEY_RESIZE:
        return kKeyResize;
      default:
        return kKeyNone;
    }
  }
  if (code != OK) return kKeyNone;
  if (character == '\n' || character == '\r') return kKeyEnter;
  if (character == '\t') return kKeyTab;
  return static_cast<int>(character);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Terminal>> Terminal::Open(bool color) {
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
    return absl::FailedPreconditionError("this needs a terminal");
  }
  tcgetattr(STDIN_FILENO, &settings_before);
  if (newterm(nullptr, stdout, stdin) == nullptr) {
    const char* term = getenv("TERM");
    return absl::FailedPreconditionError(absl::StrCat("the terminal is unknown: TERM=", term != nullptr ? term : ""));
  }
  active = true;
  RestoreOnDeath();
  cbreak();
  noecho();
  curs_set(0);
  keypad(stdscr, TRUE);
  set_escdelay(50);  // ms until Escape is a key, and not the beginning of one
  color = color && has_colors();
  if (color) StartColors();
  return std::unique_ptr<Terminal>(new Terminal(color));
}

Terminal::~Terminal() {
  endwin();
  active = false;
}

int Terminal::width() const { return getmaxx(stdscr); }
int Terminal::height() const { return getmaxy(stdscr); }

void Terminal::Draw(const Screen& screen) {
  werase(stdscr);
  for (size_t y = 0; y < screen.size(); ++y) {
    wmove(stdscr, static_cast<int>(y), 0);
    for (const Span& span : screen[y]) {
      wattrset(stdscr, static_cast<int>(AttributesOf(span.style, color_)));
      waddstr(stdscr, span.text.c_str());
    }
  }
  wattrset(stdscr, A_NORMAL);
  wrefresh(stdscr);
}

int Terminal::ReadKey(absl::Duration timeout) {
  wtimeout(stdscr, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
  wint_t character = 0;
  const int code = wget_wch(stdscr, &character);
  return ToKey(code, character);
}

}  // namespace greenring::greenctl
