#include "pyhost/recursion.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/unique_fd.h"
#include "pyhost/current_state.h"
#include "pyhost/python.h"

// CPython's writer for handlers of fatal signals, which its headers keep to itself, and shared libraries of 3.13 too.
extern "C" [[gnu::weak]] void _Py_DumpTraceback(int fd, PyThreadState* state);

namespace greenring::pyhost {
namespace {

// Of the running green thread, if it holds the GIL; else nullptr.
PyThreadState* AttachedState() {
  PyThreadState* const own = PyGILState_GetThisThreadState();
  return own == CurrentState() ? own : nullptr;
}

// Takes what is left of a count; what is below zero already is left.
int TakeAll(int* remaining) {
  const int taken = std::max(*remaining, 0);
  *remaining -= taken;
  return taken;
}

#if PY_VERSION_HEX >= 0x030C0000
void Take(PyThreadState* state, int* taken) {
  taken[0] += TakeAll(&state->py_recursion_remaining);
  taken[1] += TakeAll(&state->c_recursion_remaining);
}

void GiveBack(PyThreadState* state, const int* taken) {
  state->py_recursion_remaining = std::min(state->py_recursion_remaining + taken[0], state->py_recursion_limit);
  state->c_recursion_remaining += taken[1];
}
#elif PY_VERSION_HEX >= 0x030B0000
void Take(PyThreadState* state, int* taken) { taken[0] += TakeAll(&state->recursion_remaining); }

void GiveBack(PyThreadState* state, const int* taken) {
  state->recursion_remaining = std::min(state->recursion_remaining + taken[0], state->recursion_limit);
}
#else  // 3.10 counts upwards
void Take(PyThreadState* state, int* taken) {
  int remaining = Py_GetRecursionLimit() - state->recursion_depth;
  const int now = TakeAll(&remaining);
  state->recursion_depth += now;
  taken[0] += now;
}

void GiveBack(PyThreadState* state, const int* taken) {
  state->recursion_depth = std::max(state->recursion_depth - taken[0], 0);
}
#endif

}  // namespace

bool ExhaustRecursion(green::GreenThread* thread) {
  PyThreadState* const state = AttachedState();
  // While CPython makes an error for a recursion it allows 50 calls more, and aborts beyond them.
  if (state == nullptr || state->recursion_headroom > 0) return false;
  green::GreenThread::HostNote* const note = thread->reserve_note();
  if (note->state != state) *note = {.state = state};
  Take(state, note->taken);
  return true;
}

void RestoreRecursion(green::GreenThread* thread) {
  green::GreenThread::HostNote* const note = thread->reserve_note();
  if (note->state != nullptr && note->state == PyGILState_GetThisThreadState()) {
    GiveBack(static_cast<PyThreadState*>(note->state), note->taken);
  }
  *note = {};
}

std::string DescribeAbandonedStack(void* thread_state) {
  if (thread_state == nullptr || _Py_DumpTraceback == nullptr) return {};
  const UniqueFd file(memfd_create("stack", MFD_CLOEXEC));
  if (!file.valid()) return {};
  _Py_DumpTraceback(file.get(), static_cast<PyThreadState*>(thread_state));
  std::string text(64 * 1024, '\0');
  const ssize_t size = pread(file.get(), text.data(), text.size(), 0);
  text.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return text;
}

}  // namespace greenring::pyhost
