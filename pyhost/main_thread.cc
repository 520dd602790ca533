#include "pyhost/main_thread.h"

#include <utility>

#include "base/check.h"
#include "green/scoped_wait.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

// Attached to the main thread's state, GIL held, for the object's life.
class ScopedAttach {
 public:
  explicit ScopedAttach(PyThreadState* state) { PyEval_RestoreThread(state); }
  ~ScopedAttach() { PyEval_SaveThread(); }
  ScopedAttach(const ScopedAttach&) = delete;
  ScopedAttach& operator=(const ScopedAttach&) = delete;
};

}  // namespace

void MainThread::Start(std::function<void()> on_ended) {
  on_ended_ = std::move(on_ended);
  scheduler_->Spawn([this] { Serve(); }, {.name = "main", .is_os_thread = true});
}

void MainThread::Stop() {
  stopping_ = true;
  if (green::GreenThread* thread = scheduler_->os_thread(); thread != nullptr) scheduler_->Unpark(thread);
}

void MainThread::Serve() {
  while (!stopping_) {
    AwaitSignal();
    CallSignalHandlers();
  }
  JoinPythonThreads();
  on_ended_();
}

void MainThread::AwaitSignal() {
  const green::ScopedWait noted(scheduler_->current(), {.call = "signals", .kind = green::WaitNote::Kind::kIdle});
  scheduler_->ParkUncancellable();
}

void MainThread::CallSignalHandlers() {
  ScopedAttach attached(state_);
  // One that raises has nobody above it to catch that: it is told to sys.unraisablehook, the rest are served. Not
  // PyErr_CheckSignals, which leaves CPython's note that there are signals, as they are when others have looked at
  // them.
  while (Py_MakePendingCalls() < 0) PyErr_WriteUnraisable(nullptr);
}

void MainThread::JoinPythonThreads() {
  ScopedAttach attached(state_);
  PyObject* threading = PyDict_GetItemString(PyImport_GetModuleDict(), "threading");
  if (threading == nullptr) return;  // nobody has ever started one
  const PyRef result(PyObject_CallMethod(threading, "_shutdown", nullptr));
  if (!result) PyErr_WriteUnraisable(threading);
}

void StartOneThread() {
  const PyRef globals(PyDict_New());
  GREENRING_CHECK(globals);
  PyDict_SetItemString(globals.get(), "__builtins__", PyEval_GetBuiltins());
  const PyRef result(
      PyRun_String("import _thread\n"
                   "ended = _thread.allocate_lock()\n"
                   "ended.acquire()\n"
                   "_thread.start_new_thread(ended.release, ())\n"
                   "ended.acquire()\n",
                   Py_file_input, globals.get(), globals.get()));
  GREENRING_CHECK(result);
}

}  // namespace greenring::pyhost
