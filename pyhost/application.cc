#include "pyhost/application.h"

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "pyhost/py_text.h"
#include "pyhost/python_error.h"

namespace greenring::pyhost {
namespace {

// find(spec) returns the application. NotThere means that the operator named what is not there; its text says so.
// Other exceptions are the application's own.
constexpr const char kLoaderSource[] = R"python(
import ast, importlib.util, os, sys


class NotThere(Exception):
    pass


def find(spec):
    target, colon, expression = spec.partition(":")
    if not target or (colon and not expression):
        raise NotThere(f"{spec!r} names no application: write module:callable, module, or a .py file")
    if target.endswith(".py") or "/" in target:
        module = import_file(target)
    else:
        module = import_module(target)
    if not expression:
        return default_of(module)
    return checked(evaluate(module, expression), f"{expression} in {module.__name__}")


def import_module(name):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        # Only when it is the named module, or a package above it, that is missing: else the application's import fails.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise NotThere(f"there is no module {error.name!r} in {sys.path[0]} or elsewhere on sys.path: "
                          f"set --chdir to the directory that contains it, or --virtualenv") from None
    return sys.modules[name]


def import_file(path):
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise NotThere(f"there is no file {path}")
    directory, name = os.path.split(path)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    name = name.removesuffix(".py")
    if not name.isidentifier() or name in sys.modules:
        name = "greenring_application"
    loading = importlib.util.spec_from_file_location(name, path)
    if loading is None:
        raise NotThere(f"{path} is no Python file: its name must end in .py")
    module = sys.modules[name] = importlib.util.module_from_spec(loading)
    loading.loader.exec_module(module)
    return module


def default_of(module):
    for name in ("application", "app"):
        if hasattr(module, name):
            return checked(getattr(module, name), f"{name} in {module.__name__}")
    raise NotThere(f"{module.__name__} ({module.__file__}) has neither 'application' nor 'app'{named_in(module)}")


def named_in(module):
    names = [name for name, value in vars(module).items()
             if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__]
    return f"; callables in it: {', '.join(names[:10])}" if names else ""


def evaluate(module, expression):
    """The object that `name.name` names in the module, or what `name.name(literal, key=literal)` returns."""
    try:
        node = ast.parse(expression, mode="eval").body
        call = node if isinstance(node, ast.Call) else None
        names = []
        node = call.func if call else node
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        names.append(node.id)
        arguments = [ast.literal_eval(a) for a in call.args] if call else []
        keywords = {k.arg: ast.literal_eval(k.value) for k in call.keywords} if call else {}
    except (SyntaxError, ValueError, AttributeError):
        raise NotThere(f"{expression!r} is neither a name nor a call with literal arguments") from None
    value = module
    for name in reversed(names):
        if not hasattr(value, name):
            where = f"module {value.__name__} ({value.__file__})" if value is module else repr(value)
            raise NotThere(f"there is no {name!r} in {where}{named_in(module)}")
        value = getattr(value, name)
    if not call:
        return value
    checked(value, expression)
    return value(*arguments, **keywords)


def checked(value, name):
    if not callable(value):
        raise NotThere(f"{name} is not callable: it is of type {type(value).__name__}")
    return value
)python";

// The traceback without the frames of the loader above.
void DropLoaderFrames(PyObject* exception) {
  PyRef traceback(PyException_GetTraceback(exception));
  while (traceback && traceback.get() != Py_None) {
    const PyRef frame(PyObject_GetAttrString(traceback.get(), "tb_frame"));
    const PyRef globals(frame ? PyObject_GetAttrString(frame.get(), "f_globals") : nullptr);
    if (!globals || PyDict_GetItemString(globals.get(), "default_of") == nullptr) break;
    traceback.reset(PyObject_GetAttrString(traceback.get(), "tb_next"));
  }
  PyErr_Clear();
  PyException_SetTraceback(exception, traceback ? traceback.get() : Py_None);
}

// For programs of uWSGI, whose modules are there on demand.
const char* HintFor(PyObject* exception) {
  if (PyErr_GivenExceptionMatches(exception, PyExc_ModuleNotFoundError) == 0) return "";
  const PyRef name(PyObject_GetAttrString(exception, "name"));
  PyErr_Clear();
  std::string_view module;
  const bool is_uwsgi = name && Latin1View(name.get(), &module) && (module == "uwsgi" || module == "uwsgidecorators");
  return is_uwsgi ? "; --uwsgi_api, or uwsgi_api.enabled of the pool, offers it" : "";
}

absl::Status ToStatus(std::string_view spec, PyRef exception, PyObject* not_there) {
  const std::string name(spec);
  if (reinterpret_cast<PyObject*>(Py_TYPE(exception.get())) == not_there) {
    const PyRef text(PyObject_Str(exception.get()));
    return absl::NotFoundError("cannot load the application " + name + ": " + ToUtf8(text.get()));
  }
  DropLoaderFrames(exception.get());
  const std::string traceback = FormatException(exception.get());
  PySys_FormatStderr("%s\n", traceback.c_str());
  absl::Status status = absl::FailedPreconditionError(absl::StrCat("cannot load the application ", name, ": it raised ",
                                                                   DescribeException(exception.get()),
                                                                   HintFor(exception.get()), " (traceback above)"));
  status.SetPayload(kTracebackPayload, absl::Cord(traceback));
  return status;
}

}  // namespace

absl::StatusOr<Application> LoadApplication(std::string_view spec) {
  const PyRef globals(PyDict_New());
  PyRef application;
  if (globals && PyDict_SetItemString(globals.get(), "__builtins__", PyEval_GetBuiltins()) == 0) {
    const PyRef code(Py_CompileString(kLoaderSource, "<greenring loader>", Py_file_input));
    const PyRef module(code ? PyEval_EvalCode(code.get(), globals.get(), globals.get()) : nullptr);
    PyObject* find = module ? PyDict_GetItemString(globals.get(), "find") : nullptr;
    if (find != nullptr) {
      application.reset(PyObject_CallFunction(find, "s#", spec.data(), static_cast<Py_ssize_t>(spec.size())));
    }
  }
  if (!application) return ToStatus(spec, TakeException(), PyDict_GetItemString(globals.get(), "NotThere"));
  return Application{std::move(application), std::string(spec)};
}

}  // namespace greenring::pyhost
