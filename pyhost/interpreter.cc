#include "pyhost/interpreter.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "pyhost/data_stack.h"
#include "pyhost/fork.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"
#include "pyhost/python_error.h"

namespace greenring::pyhost {
namespace {

namespace fs = std::filesystem;

// The interpreter that the build found: CPython computes sys.path from where it lies.
constexpr const char kExecutable[] = GREENRING_PYTHON_EXECUTABLE;

// The value of `home` in VENV/pyvenv.cfg: the directory of the interpreter that made the virtual environment.
std::string HomeOf(const fs::path& virtualenv) {
  std::ifstream file(virtualenv / "pyvenv.cfg");
  for (std::string line; std::getline(file, line);) {
    const size_t equals = line.find('=');
    if (equals == std::string::npos || line.substr(0, line.find_last_not_of(" \t", equals - 1) + 1) != "home") continue;
    const size_t begin = line.find_first_not_of(" \t", equals + 1);
    if (begin != std::string::npos) return line.substr(begin, line.find_last_not_of(" \t\r") + 1 - begin);
  }
  return {};
}

// The executable that stands for `virtualenv`, in whose neighbourhood CPython looks for pyvenv.cfg.
absl::StatusOr<std::string> ExecutableOf(const fs::path& virtualenv) {
  const fs::path executable = virtualenv / "bin" / "python";
  const std::string home = HomeOf(virtualenv);
  std::error_code error;
  if (home.empty() || !fs::exists(executable, error)) {
    return absl::NotFoundError(absl::StrCat(
        virtualenv.string(), " is no virtual environment (it needs bin/python and pyvenv.cfg): make one with `",
        kExecutable, " -m venv ", virtualenv.string(), "`"));
  }
  const std::string library = absl::StrCat("python", PY_MAJOR_VERSION, ".", PY_MINOR_VERSION);
  const bool same_version = fs::exists(virtualenv / "lib" / library, error);
  const bool same_home = fs::equivalent(home, fs::path(kExecutable).parent_path(), error);
  if (!same_version || !same_home) {
    return absl::FailedPreconditionError(
        absl::StrCat("the virtual environment ", virtualenv.string(), " was made by a Python in ", home,
                     ", but this server embeds ", kExecutable, " (", PY_VERSION, "): make one with `", kExecutable,
                     " -m venv DIR`, or build the server with PYTHON_CONFIG=", home, "/", library, "-config"));
  }
  return executable.string();
}

absl::Status ToStatus(const PyStatus& status) {
  if (!PyStatus_Exception(status)) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("Python does not start: ", status.err_msg != nullptr ? status.err_msg : "exit", " (is ", kExecutable,
                   " installed completely?)"));
}

// PyConfig with RAII.
class Config {
 public:
  Config() { PyConfig_InitPythonConfig(&config_); }
  ~Config() { PyConfig_Clear(&config_); }
  PyConfig* get() { return &config_; }
  PyConfig* operator->() { return &config_; }

 private:
  PyConfig config_;
};

absl::Status Initialize(const std::string& executable, const InterpreterOptions& options) {
  Config config;
  config->parse_argv = 0;
  config->install_signal_handlers = 0;
  absl::Status status = ToStatus(PyConfig_SetBytesString(config.get(), &config->program_name, executable.c_str()));
  if (status.ok()) status = ToStatus(PyConfig_SetBytesString(config.get(), &config->executable, executable.c_str()));
  std::vector<char*> argv;
  for (const std::string& argument : options.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  if (argv.empty()) argv.push_back(const_cast<char*>(""));
  if (status.ok())
    status = ToStatus(PyConfig_SetBytesArgv(config.get(), static_cast<Py_ssize_t>(argv.size()), argv.data()));
  if (status.ok()) status = ToStatus(Py_InitializeFromConfig(config.get()));
  return status;
}

// The first import of `signal` would install CPython's SIGINT handler, whatever PyConfig says: import it now, and undo
// that.
absl::Status KeepInterruptSignal() {
  struct sigaction before;
  ::sigaction(SIGINT, nullptr, &before);
  const PyRef module(PyImport_ImportModule("signal"));
  ::sigaction(SIGINT, &before, nullptr);
  if (module) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("cannot import signal: ", DescribeException(TakeException().get())));
}

// Puts the working directory and `python_path` in front of sys.path.
absl::Status ExtendPath(const std::vector<std::string>& python_path) {
  PyObject* path = PySys_GetObject("path");
  Py_ssize_t at = 0;
  std::error_code error;
  std::vector<std::string> directories = {fs::current_path(error).string()};
  directories.insert(directories.end(), python_path.begin(), python_path.end());
  for (const std::string& directory : directories) {
    const PyRef text(PyUnicode_DecodeFSDefault(directory.c_str()));
    if (path == nullptr || !text || PyList_Insert(path, at++, text.get()) < 0) {
      return absl::InternalError(absl::StrCat("cannot extend sys.path: ", DescribeException(TakeException().get())));
    }
  }
  return absl::OkStatus();
}

void CallIgnoringErrors(const char* module_name, const char* function) {
  const PyRef module(PyImport_ImportModule(module_name));
  const PyRef result(module ? PyObject_CallMethod(module.get(), function, nullptr) : nullptr);
  if (!result) PyErr_WriteUnraisable(nullptr);
}

void Flush(const char* name) {
  PyObject* stream = PySys_GetObject(name);
  if (stream == nullptr || stream == Py_None) return;
  const PyRef result(PyObject_CallMethod(stream, "flush", nullptr));
  if (!result) PyErr_WriteUnraisable(stream);
}

}  // namespace

std::string PythonVersion() {
  const std::string_view version = Py_GetVersion();  // "3.11.2 (main, ...) [GCC 12.2.0]"
  return std::string(version.substr(0, version.find(' ')));
}

absl::StatusOr<std::unique_ptr<Interpreter>> Interpreter::Start(const InterpreterOptions& options) {
  if (!options.working_directory.empty() && ::chdir(options.working_directory.c_str()) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("change to the directory ", options.working_directory));
  }
  std::string virtualenv = options.virtualenv;
  if (const char* active = ::getenv("VIRTUAL_ENV"); virtualenv.empty() && active != nullptr) virtualenv = active;
  std::string executable = kExecutable;
  if (!virtualenv.empty()) {
    std::error_code error;
    absl::StatusOr<std::string> found = ExecutableOf(fs::absolute(virtualenv, error));
    if (!found.ok()) return found.status();
    executable = *std::move(found);
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  absl::Status status = Initialize(executable, options);
  if (status.ok()) status = KeepInterruptSignal();
  if (status.ok()) status = ExtendPath(options.python_path);
  if (!status.ok()) return status;
  DataStack::PoolChunks();
  PrepareForks();
  return std::unique_ptr<Interpreter>(new Interpreter());
}

Interpreter::~Interpreter() {
  if (!ended_) Py_FinalizeEx();
}

void Interpreter::EndWithThreads() {
  ended_ = true;
  CallIgnoringErrors("atexit", "_run_exitfuncs");
  Flush("stdout");
  Flush("stderr");
}

}  // namespace greenring::pyhost
