#include "pyhost/gil.h"

#include "base/check.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

size_t live_threads = 0;

// CPython's current state if the GIL is held, by whomever: never one of ours while another OS thread holds it.
PyThreadState* CurrentState() {
#if PY_VERSION_HEX >= 0x030D0000
  return PyThreadState_GetUnchecked();
#else
  return _PyThreadState_UncheckedGet();
#endif
}

}  // namespace

void PythonSwitchHook::OnSwitchIn(green::GreenThread* thread) {
  auto* python = static_cast<ScopedPythonThread*>(thread->host_data());
  if (python == nullptr || !python->had_gil_) {
    GiveUpGil();
  } else if (gil_held_) {
    gil_held_ = false;
    PyThreadState_Swap(python->state_);
  } else {
    PyEval_RestoreThread(python->state_);
  }
}

void PythonSwitchHook::OnSwitchOut(green::GreenThread* thread) {
  auto* python = static_cast<ScopedPythonThread*>(thread->host_data());
  if (python == nullptr) return;
  python->had_gil_ = gil_held_ = CurrentState() == python->state_;
}

void PythonSwitchHook::OnIdle() { GiveUpGil(); }

void PythonSwitchHook::GiveUpGil() {
  if (!gil_held_) return;
  gil_held_ = false;
  PyEval_SaveThread();
}

ScopedPythonThread::ScopedPythonThread() : state_(PyThreadState_New(PyInterpreterState_Main())) {
  GREENRING_CHECK(state_ != nullptr);
  green::GreenThread* thread = green::Scheduler::Current()->current();
  GREENRING_CHECK(thread->host_data() == nullptr);
  thread->set_host_data(this);
  ++live_threads;
  PyEval_RestoreThread(state_);
}

ScopedPythonThread::~ScopedPythonThread() {
  PyThreadState_Clear(state_);  // may run Python code, and park
  PyThreadState_DeleteCurrent();
  --live_threads;
  green::Scheduler::Current()->current()->set_host_data(nullptr);
}

size_t ScopedPythonThread::live_count() { return live_threads; }

ScopedGilRelease::ScopedGilRelease() : state_(PyEval_SaveThread()) {}

ScopedGilRelease::~ScopedGilRelease() { PyEval_RestoreThread(state_); }

}  // namespace greenring::pyhost
