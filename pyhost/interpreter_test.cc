#include "pyhost/interpreter.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "pyhost/gil.h"
#include "pyhost/python.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::pyhost {
namespace {

namespace fs = std::filesystem;

// A process has one interpreter, once: each test starts its own in a child, and compares what that printed.
class InterpreterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    ::unsetenv("VIRTUAL_ENV");
    ::unsetenv("PYTHONPATH");
    directory_ = fs::path(::testing::TempDir()) /
                 (std::string("interpreter_test_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(directory_);  // the child sets up again
    fs::create_directories(directory_);
    directory_ = fs::canonical(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  // In a child: starts an interpreter, runs `source` and ends as a worker would.
  [[noreturn]] static void Run(const InterpreterOptions& options, const std::string& source) {
    absl::StatusOr<std::unique_ptr<Interpreter>> interpreter = Interpreter::Start(options);
    if (!interpreter.ok()) {
      std::fprintf(stderr, "%s\n", std::string(interpreter.status().message()).c_str());
      std::exit(1);
    }
    const int result =
        PyRun_SimpleString(("import sys\ndef say(*what): print(*what, file=sys.stderr)\n" + source).c_str());
    interpreter->reset();
    std::fprintf(stderr, "ended\n");
    std::exit(result == 0 ? 0 : 2);
  }

  void MakeVirtualenv(const std::string& home, const std::string& library) {
    fs::create_directories(directory_ / "venv" / "bin");
    fs::create_directories(directory_ / "venv" / "lib" / library / "site-packages");
    fs::create_symlink(GREENRING_PYTHON_EXECUTABLE, directory_ / "venv" / "bin" / "python");
    std::ofstream(directory_ / "venv" / "pyvenv.cfg")
        << "home = " << home << "\ninclude-system-site-packages = false\n";
  }

  static std::string Library() {
    return "python" + std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION);
  }
  static std::string Home() { return fs::path(GREENRING_PYTHON_EXECUTABLE).parent_path(); }

  fs::path directory_;
};

using InterpreterDeathTest = InterpreterTest;

TEST_F(InterpreterDeathTest, HasThePathsOfTheInterpreterItStandsFor) {
  // What the interpreter itself prints, run in another directory so that its own sys.path[0] ('') is left out.
  const std::string command =
      std::string(GREENRING_PYTHON_EXECUTABLE) + " -c 'import sys; print(sys.prefix, sys.executable, *sys.path[1:])'";
  FILE* pipe = ::popen(command.c_str(), "r");
  char line[4096];
  ASSERT_NE(std::fgets(line, sizeof line, pipe), nullptr);
  ::pclose(pipe);
  std::string expected(line);
  expected.pop_back();
  EXPECT_EXIT(Run({}, "say('paths', sys.prefix, sys.executable, *sys.path[1:])"), ::testing::ExitedWithCode(0),
              "paths " + expected + "\n");
}

TEST_F(InterpreterDeathTest, TheWorkingDirectoryLeadsSysPath) {
  InterpreterOptions options{.working_directory = directory_, .python_path = {"/one", "/two"}};
  EXPECT_EXIT(Run(options, "import os; say('path', *sys.path[:3], os.getcwd())"), ::testing::ExitedWithCode(0),
              "path " + directory_.string() + " /one /two " + directory_.string() + "\n");
}

TEST_F(InterpreterDeathTest, AMissingWorkingDirectoryIsNamed) {
  EXPECT_EXIT(Run({.working_directory = "/no/such/directory"}, ""), ::testing::ExitedWithCode(1),
              "/no/such/directory: No such file");
}

TEST_F(InterpreterDeathTest, ExtensionModulesFindTheApiOfTheProgram) {
  EXPECT_EXIT(Run({},
                  "import _ssl, _ctypes, _decimal, ctypes\n"
                  "ctypes.pythonapi.PyLong_FromLong.restype = ctypes.py_object\n"
                  "say('number', ctypes.pythonapi.PyLong_FromLong(7))"),
              ::testing::ExitedWithCode(0), "number 7\n");
}

TEST_F(InterpreterDeathTest, PythonEnvironmentVariablesCount) {
  ::setenv("PYTHONPATH", "/from/environment", 1);
  EXPECT_EXIT(Run({.python_path = {"/option"}}, "say('path', *sys.path[1:3])"), ::testing::ExitedWithCode(0),
              "path /option /from/environment\n");
}

TEST_F(InterpreterDeathTest, AVirtualenvGivesItsPackages) {
  MakeVirtualenv(Home(), Library());
  const std::string venv = directory_ / "venv";
  const std::string packages = venv + "/lib/" + Library() + "/site-packages";
  const std::string source = "say('prefix', sys.prefix, '" + packages + "' in sys.path, sys.prefix != sys.base_prefix)";
  EXPECT_EXIT(Run({.virtualenv = venv}, source), ::testing::ExitedWithCode(0), "prefix " + venv + " True True\n");
  ::setenv("VIRTUAL_ENV", venv.c_str(), 1);
  EXPECT_EXIT(Run({}, source), ::testing::ExitedWithCode(0), "prefix " + venv + " True True\n");
}

TEST_F(InterpreterDeathTest, AVirtualenvOfAnotherPythonIsRefused) {
  MakeVirtualenv("/opt/python/bin", "python2.7");
  EXPECT_EXIT(Run({.virtualenv = directory_ / "venv"}, ""), ::testing::ExitedWithCode(1),
              "was made by a Python in /opt/python/bin, but this server embeds");
}

TEST_F(InterpreterDeathTest, ADirectoryThatIsNoVirtualenvIsRefused) {
  EXPECT_EXIT(Run({.virtualenv = directory_}, ""), ::testing::ExitedWithCode(1), "is no virtual environment");
}

TEST_F(InterpreterDeathTest, SignalsStayTheServers) {
  EXPECT_EXIT(Run({}, "import os, signal\nos.kill(os.getpid(), signal.SIGINT)"), ::testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(Run({}, "import os, signal\nos.kill(os.getpid(), signal.SIGPIPE)"), ::testing::ExitedWithCode(0),
              "ended");
}

TEST_F(InterpreterDeathTest, EndsAsPythonDoes) {
  EXPECT_EXIT(Run({},
                  "import atexit, os, threading\n"
                  "started = threading.Event()\n"
                  "def last():\n    started.wait(); say('thread')\n"
                  "atexit.register(lambda: say('atexit'))\n"
                  "threading.Thread(target=last).start()\n"
                  "started.set()\n"
                  "sys.stdout = os.fdopen(os.dup(2), 'w')\n"
                  "sys.stdout.write('flushed\\n')"),
              ::testing::ExitedWithCode(0), "thread\natexit\nflushed\nended\n");
}

TEST_F(InterpreterDeathTest, EndsBesideADaemonThreadThatNeverStops) {
  EXPECT_EXIT(Run({},
                  "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
                  "def spin():\n    while True: pass\n"
                  "threading.Thread(target=spin, daemon=True).start()\n"),
              ::testing::ExitedWithCode(0), "ended\n");
}

// Green threads that a drain left behind.
[[noreturn]] void EndWithParkedGreenThreads() {
  absl::StatusOr<std::unique_ptr<Interpreter>> interpreter = Interpreter::Start({});
  PyRun_SimpleString("import atexit, sys\natexit.register(lambda: print('atexit', file=sys.stderr))\n");
  testing::SimClock clock;
  testing::SimPoller poller(&clock);
  PythonSwitchHook hook;
  auto* scheduler = new green::Scheduler({.clock = &clock});  // whose destructor would find them
  scheduler->SetSwitchHook(&hook);
  for (const bool holds_gil : {true, false}) {
    scheduler->Spawn([scheduler, holds_gil] {
      ScopedPythonThread python;
      PyThreadState* state = holds_gil ? nullptr : PyEval_SaveThread();
      scheduler->Park();
      if (state != nullptr) PyEval_RestoreThread(state);
    });
  }
  scheduler->Spawn([scheduler] { scheduler->Stop(); });
  {
    ScopedGilRelease release;
    scheduler->Run(&poller);
  }
  (*interpreter)->EndWithThreads();
  std::fprintf(stderr, "ended\n");
  std::exit(0);
}

TEST_F(InterpreterDeathTest, EndsWithParkedGreenThreads) {
  EXPECT_EXIT(EndWithParkedGreenThreads(), ::testing::ExitedWithCode(0), "atexit\nended\n");
}

}  // namespace
}  // namespace greenring::pyhost
