#include "pyhost/application.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ApplicationTest : public PythonTest {
 protected:
  void SetUp() override {
    PythonTest::SetUp();
    directory_ = fs::path(::testing::TempDir()) / "application_test";
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    directory_ = fs::canonical(directory_);
    Execute(
        "import sys\nbefore = set(sys.modules)\npath = sys.path[:]\nsys.dont_write_bytecode = True\n"
        "sys.path_importer_cache.clear()\nsys.path.insert(0, '" +
        directory_.string() + "')\n");
  }

  void TearDown() override {
    Execute("for name in set(sys.modules) - before: del sys.modules[name]\nsys.path[:] = path\n");
    fs::remove_all(directory_);
    PythonTest::TearDown();
  }

  void Write(const std::string& name, const std::string& source) {
    fs::create_directories((directory_ / name).parent_path());
    std::ofstream(directory_ / name) << source;
  }

  // What the loaded application returns, or the error and what went to stderr.
  std::string Load(const std::string& spec) {
    ::testing::internal::CaptureStderr();
    const absl::StatusOr<Application> application = LoadApplication(spec);
    stderr_ = ::testing::internal::GetCapturedStderr();
    if (!application.ok()) return std::string(application.status().message());
    EXPECT_EQ(application->spec, spec);
    const PyRef result(PyObject_CallFunction(application->callable.get(), "OO", Py_None, Py_None));
    if (!result) PyErr_Print();
    return result ? ToUtf8(PyRef(PyObject_Str(result.get())).get()) : "(raised)";
  }

  fs::path directory_;
  std::string stderr_;
};

constexpr const char kModule[] =
    "def application(environ, start_response): return 'application'\n"
    "def app(environ, start_response): return 'app'\n"
    "class site:\n"
    "    class api:\n"
    "        wsgi = staticmethod(lambda environ, start_response: 'nested')\n"
    "def make(name='default', *, debug=False):\n"
    "    return lambda environ, start_response: f'{name} {debug}'\n"
    "number = 5\n";

TEST_F(ApplicationTest, LoadsAModuleAndAnAttribute) {
  Write("shop.py", kModule);
  EXPECT_EQ(Load("shop:app"), "app");
  EXPECT_EQ(Load("shop:site.api.wsgi"), "nested");
}

TEST_F(ApplicationTest, LoadsAModuleOfAPackage) {
  Write("pack/__init__.py", "");
  Write("pack/wsgi.py", kModule);
  EXPECT_EQ(Load("pack.wsgi:app"), "app");
  EXPECT_EQ(Load("pack.wsgi"), "application");
}

TEST_F(ApplicationTest, TakesApplicationThenApp) {
  Write("first.py", kModule);
  Write("second.py", "def app(environ, start_response): return 'app'\n");
  EXPECT_EQ(Load("first"), "application");
  EXPECT_EQ(Load("second"), "app");
}

TEST_F(ApplicationTest, LoadsAFileFromAnywhere) {
  Write("elsewhere/my-site.py", std::string("import beside\n") + kModule);
  Write("elsewhere/beside.py", "");
  const std::string path = directory_ / "elsewhere/my-site.py";
  EXPECT_EQ(Load(path), "application");
  EXPECT_EQ(Load(path + ":site.api.wsgi"), "nested");
}

TEST_F(ApplicationTest, CallsAFactory) {
  Write("shop.py", kModule);
  EXPECT_EQ(Load("shop:make()"), "default False");
  EXPECT_EQ(Load("shop:make('prod', debug=True)"), "prod True");
  EXPECT_THAT(Load("shop:make(open('x'))"), HasSubstr("neither a name nor a call with literal arguments"));
}

TEST_F(ApplicationTest, AMissingModuleSaysWhereItWasLookedFor) {
  EXPECT_THAT(Load("nowhere:app"), AllOf(HasSubstr("no module 'nowhere'"), HasSubstr(directory_.string())));
  Write("pack/__init__.py", "");
  EXPECT_THAT(Load("pack.missing"), HasSubstr("no module 'pack.missing'"));
  EXPECT_THAT(Load("/no/such/file.py"), HasSubstr("no file /no/such/file.py"));
  EXPECT_EQ(stderr_, "");
}

TEST_F(ApplicationTest, AMissingCallableSaysWhichThereAre) {
  Write("shop.py", "from json import dumps\ndef main(e, s): pass\ndef _private(e, s): pass\nclass Site: pass\n");
  EXPECT_THAT(Load("shop"), AllOf(HasSubstr("neither 'application' nor 'app'"), HasSubstr("main, Site")));
  EXPECT_THAT(Load("shop:app"), AllOf(HasSubstr("no 'app' in module shop"), HasSubstr("main, Site")));
  EXPECT_THAT(Load("shop:main.missing"), HasSubstr("no 'missing' in <function main"));
}

TEST_F(ApplicationTest, WhatIsNotCallableIsRefused) {
  Write("shop.py", std::string(kModule) + "def numbers(): return 5\n");
  EXPECT_THAT(Load("shop:number"), HasSubstr("number in shop is not callable: it is of type int"));
  EXPECT_THAT(Load("shop:numbers()"), HasSubstr("numbers() in shop is not callable: it is of type int"));
}

TEST_F(ApplicationTest, AFailingImportPrintsItsTraceback) {
  Write("shop.py", "import helper\n");
  Write("helper.py", "def fail():\n    raise ValueError('deep down')\nfail()\n");
  EXPECT_THAT(Load("shop:app"), HasSubstr("it raised ValueError: deep down"));
  EXPECT_THAT(stderr_, AllOf(HasSubstr("Traceback"), HasSubstr("helper.py\", line 2, in fail"),
                             HasSubstr("shop.py\", line 1"), Not(HasSubstr("greenring loader"))));
}

TEST_F(ApplicationTest, AMissingDependencyIsTheApplicationsFailure) {
  Write("shop.py", "import no_such_dependency\n");
  EXPECT_THAT(Load("shop:app"), HasSubstr("it raised ModuleNotFoundError: No module named 'no_such_dependency' ("));
  EXPECT_THAT(stderr_, HasSubstr("shop.py\", line 1"));
}

TEST_F(ApplicationTest, ASyntaxErrorShowsTheLine) {
  Write("shop.py", "def app(:\n");
  EXPECT_THAT(Load("shop:app"), HasSubstr("SyntaxError"));
  EXPECT_THAT(stderr_, HasSubstr("def app(:"));
}

TEST_F(ApplicationTest, AnEmptyNameIsRefused) {
  for (const char* spec : {"", ":app", "shop:"}) EXPECT_THAT(Load(spec), HasSubstr("names no application")) << spec;
}

}  // namespace
}  // namespace greenring::pyhost
