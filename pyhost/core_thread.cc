#include "pyhost/core_thread.h"

#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "base/fd_name.h"

namespace greenring::pyhost {
namespace {

using CoreThreads = std::unordered_map<const green::GreenThread*, const CoreThread*>;

// Of the one scheduler whose green threads run Python.
CoreThreads* All() {
  static auto* const all = new CoreThreads();
  return all;
}

}  // namespace

CoreThread::CoreThread(const green::GreenThread* green_thread) : green_thread_(green_thread) {
  All()->emplace(green_thread, this);
}

CoreThread::~CoreThread() { All()->erase(green_thread_); }

const CoreThread* CoreThread::Of(const green::GreenThread* green_thread) {
  const auto found = All()->find(green_thread);
  return found != All()->end() ? found->second : nullptr;
}

void CoreThread::Begin(PythonOsThread* python) {
  python_ = python;
  os_thread_.BecomeCurrent();
  os_thread_.BeginAccounts();
}

std::string DescribeLook(const OsThread::Look& look) {
  switch (look.state) {
    case OsThread::Look::State::kUnknown:
      break;
    case OsThread::Look::State::kRuns:
      return "computes";
    case OsThread::Look::State::kWaits:
      if (look.fd < 0) return absl::StrCat("waits in ", look.call);
      return absl::StrCat("waits in ", look.call, ", fd ", look.fd, " (", FdName(look.fd), ")");
  }
  return "is in the kernel's hands";
}

}  // namespace greenring::pyhost
