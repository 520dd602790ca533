// The python command line, with everything on green threads: what is the main thread to CPython runs on one, and so
// does every thread that Python code starts. The process has one OS thread.
//
//   green_python [OPTION...] [-c COMMAND | -m MODULE | FILE] [ARGUMENT...]      as python3.11
//
// For CPython's own tests: they judge whether a green thread can be told from a thread. sys.executable is this program,
// so what they start is judged too.
#include <stdlib.h>
#include <unistd.h>

#include <climits>
#include <cstdio>

#include "base/check.h"
#include "base/clock.h"
#include "green/scheduler.h"
#include "ioloop/event_loop.h"
#include "ioloop/posix/interposer.h"
#include "ioloop/posix/threads.h"
#include "ioloop/uring.h"
#include "pyhost/gil.h"
#include "pyhost/greenlet_state.h"
#include "pyhost/main_thread.h"
#include "pyhost/preemption.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring {
namespace {

// Tests recurse as deep as the main thread of a process can. A page is only there once it is touched.
constexpr size_t kStackSizeBytes = 8 << 20;

void Must(const PyStatus& status) {
  if (PyStatus_Exception(status)) Py_ExitStatusException(status);
}

// As python3.11 would start; it computes sys.path from where that lies.
void StartPython(int argc, char** argv) {
  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  Must(PyConfig_SetBytesArgv(&config, argc, argv));
  Must(PyConfig_SetBytesString(&config, &config.program_name, GREENRING_PYTHON_EXECUTABLE));
  Must(PyConfig_SetBytesString(&config, &config.executable, GREENRING_PYTHON_EXECUTABLE));
  Must(Py_InitializeFromConfig(&config));
  PyConfig_Clear(&config);
  char self[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof(self));
  GREENRING_CHECK(length > 0);
  PyObject* path = PyUnicode_DecodeFSDefaultAndSize(self, length);
  GREENRING_CHECK(path != nullptr && PySys_SetObject("executable", path) == 0);
  GREENRING_CHECK(PySys_SetObject("_base_executable", path) == 0);
  Py_DECREF(path);
}

pyhost::Preemption* preemption = nullptr;

PyObject* EndPreemption(PyObject*, PyObject*) {
  delete preemption;
  Py_RETURN_NONE;
}

// Until the interpreter's end begins.
void StartPreemption(pyhost::PythonSwitchHook* hook) {
  static PyMethodDef end = {"end_preemption", EndPreemption, METH_NOARGS, nullptr};
  preemption = new pyhost::Preemption(hook, 10 * kNanosecondsPerMillisecond);
  const pyhost::PyRef function(PyCFunction_New(&end, nullptr));
  const pyhost::PyRef atexit(PyImport_ImportModule("atexit"));
  GREENRING_CHECK(function && atexit);
  const pyhost::PyRef registered(PyObject_CallMethod(atexit.get(), "register", "O", function.get()));
  GREENRING_CHECK(registered);
}

int Run(int argc, char** argv) {
  auto ring = ioloop::Uring::Create({});
  if (!ring.ok()) {
    std::fprintf(stderr, "green_python: %s\n", ring.status().ToString().c_str());
    return 1;
  }
  // Never destroyed: daemon threads may still be parked on it.
  auto* scheduler = new green::Scheduler({.stack_size_bytes = kStackSizeBytes});
  ioloop::EventLoop loop(ring->get(), scheduler);
  pyhost::PythonSwitchHook hook;
  scheduler->SetSwitchHook(&hook);
  int exit_code = 0;
  const pyhost::MemoryRange gil = pyhost::GilMemory();
  posix::LeaveAlone({.begin = gil.begin,
                     .size_bytes = gil.size_bytes,
                     .before_lock = &pyhost::Preemption::BeforeLock,
                     .after_unlock = &pyhost::Preemption::AfterUnlock});
  scheduler->Spawn(
      [&] {
        StartPython(argc, argv);
        pyhost::GreenletState::Watch();
        StartPreemption(&hook);
        posix::StartCapture capture;
        pyhost::StartOneThread();
        posix::SetGreenStarts(capture.kind());
        exit_code = Py_RunMain();
        scheduler->Stop();
      },
      {.name = "main", .is_os_thread = true});
  posix::ScopedInterception interception(&loop);
  scheduler->Run(&loop);
  return exit_code;
}

}  // namespace
}  // namespace greenring

int main(int argc, char** argv) {
  const int exit_code = greenring::Run(argc, argv);
  std::fflush(nullptr);
  _exit(exit_code);
}
