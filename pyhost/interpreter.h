// The embedded CPython: started as /usr/bin/python3.11 would start, finalised as it would end.
//
//   absl::StatusOr<std::unique_ptr<Interpreter>> interpreter = Interpreter::Start({.working_directory = "/srv/shop"});
//   Application application = *LoadApplication("shop.wsgi:app");          // GIL held
//   {
//     ScopedGilRelease release;                                           // gil.h: green threads take it from here
//     scheduler.Run(&poller);
//   }
//   interpreter->reset();                                                 // GIL held; atexit handlers run
//
// sys.path, sys.prefix, site-packages and the PYTHON* environment variables are those of the interpreter that the build
// found (PYTHON_CONFIG), with the working directory in front, as gunicorn does. Signals stay the server's: CPython
// installs no handler (SIGINT raises no KeyboardInterrupt), but SIGPIPE and SIGXFSZ are ignored, as python does. An
// application may call signal.signal while it is being imported. One per process, once. CPython 3.10 to 3.13.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace greenring::pyhost {

struct InterpreterOptions {
  // Start changes to it, and it becomes sys.path[0]. Empty: the current directory.
  std::string working_directory = {};

  // Directories for sys.path behind the working directory, before PYTHONPATH and the standard library.
  std::vector<std::string> python_path = {};

  // The directory of a virtual environment. Empty: what $VIRTUAL_ENV names, if anything.
  std::string virtualenv = {};

  // sys.argv. Empty: [""].
  std::vector<std::string> argv = {};
};

// "3.11.2". Thread-safe.
std::string PythonVersion();

class Interpreter {
 public:
  // Starts CPython on this OS thread, which is its main thread from now on, and leaves the GIL held. The errors say
  // what to change: a directory or virtual environment that is not there or not for this CPython, a broken
  // installation.
  static absl::StatusOr<std::unique_ptr<Interpreter>> Start(const InterpreterOptions& options);

  // Ends CPython: joins the threads that are no daemons, runs atexit handlers, flushes stdout and stderr, frees
  // objects. GIL held.
  ~Interpreter();

  // The same while threads with Python states are left that cannot run any more (green threads that are parked): joins
  // nobody and leaves the objects where they are, because those threads' frames refer to them; the process must then
  // exit. GIL held.
  void EndWithThreads();

  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

 private:
  Interpreter() = default;

  bool ended_ = false;
};

}  // namespace greenring::pyhost
