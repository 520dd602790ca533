#include "control/worker_end.h"

#include <string.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"

namespace greenring::control {

std::string DescribeEnd(int wait_status, const std::string& why) {
  std::string text;
  if (WIFSIGNALED(wait_status)) {
    const int number = WTERMSIG(wait_status);
    const char* const name = sigdescr_np(number);
    text = absl::StrCat("signal ", number, name != nullptr ? absl::StrCat(" (", name, ")") : "");
    if (WCOREDUMP(wait_status)) text += ", core dumped";
  } else {
    text = absl::StrCat("exit status ", WEXITSTATUS(wait_status));
  }
  return why.empty() ? text : absl::StrCat(text, ": ", why);
}

}  // namespace greenring::control
