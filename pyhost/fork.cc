#include "pyhost/fork.h"

#include "base/check.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

void PrepareForks() {
  // Called in the order of registration: before threading's own.
  constexpr char kSource[] = R"(
import _thread, os, sys

def forget_stand_in():
    threading = sys.modules.get('threading')
    active = getattr(threading, '_active', {})
    stand_in = getattr(threading, '_DummyThread', None)
    if stand_in is not None and isinstance(active.get(_thread.get_ident()), stand_in):
        del active[_thread.get_ident()]

os.register_at_fork(after_in_child=forget_stand_in)
)";
  const PyRef globals(PyDict_New());
  GREENRING_CHECK(globals);
  PyDict_SetItemString(globals.get(), "__builtins__", PyEval_GetBuiltins());
  const PyRef result(PyRun_String(kSource, Py_file_input, globals.get(), globals.get()));
  GREENRING_CHECK(result);
}

}  // namespace greenring::pyhost
