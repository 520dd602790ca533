// uwsgi.lock, unlock and is_locked: locks of the pool, across its workers. Who waits for one parks, whichever worker
// holds it: two requests of one worker do not hold each other up for ever.
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "pyhost/uwsgi/parts.h"

namespace greenring::pyhost {
namespace {

constexpr int kLocks = 256;

// Of the optional argument. False with a Python error.
bool ParseLock(const char* format, PyObject* arguments, int* lock) {
  if (PyArg_ParseTuple(arguments, format, lock) == 0) return false;
  if (*lock >= 0 && *lock < kLocks) return true;
  PyErr_Format(PyExc_ValueError, "there is no lock %d: they are 0 to %d", *lock, kLocks - 1);
  return false;
}

PyObject* Fail(const absl::Status& status) {
  if (PyErr_Occurred() == nullptr) PyErr_SetString(PyExc_RuntimeError, std::string(status.message()).c_str());
  return nullptr;
}

PyObject* Lock(PyObject*, PyObject* arguments) {
  int lock = 0;
  if (!ParseLock("|i:lock", arguments, &lock)) return nullptr;
  if (const absl::Status status = Host()->Lock(lock); !status.ok()) return Fail(status);
  Py_RETURN_NONE;
}

// As in uWSGI it is no error to unlock what is not locked; but it is a mistake.
PyObject* Unlock(PyObject*, PyObject* arguments) {
  int lock = 0;
  if (!ParseLock("|i:unlock", arguments, &lock)) return nullptr;
  const absl::Status status = Host()->Unlock(lock);
  if (!status.ok() && !absl::IsFailedPrecondition(status)) return Fail(status);
  if (!status.ok()) Host()->Log(absl::StrCat("uwsgi.unlock(", lock, ") has no effect: ", status.message()));
  Py_RETURN_NONE;
}

PyObject* IsLocked(PyObject*, PyObject* arguments) {
  int lock = 0;
  if (!ParseLock("|i:is_locked", arguments, &lock)) return nullptr;
  const absl::StatusOr<bool> locked = Host()->IsLocked(lock);
  if (!locked.ok()) return Fail(locked.status());
  return PyBool_FromLong(*locked ? 1 : 0);
}

PyMethodDef kFunctions[] = {
    {"lock", Lock, METH_VARARGS, "lock([number])\n\nWaits in line for a lock of the pool, 0 to 255."},
    {"unlock", Unlock, METH_VARARGS, "unlock([number])\n\nWho waits longest gets it."},
    {"is_locked", IsLocked, METH_VARARGS, "is_locked([number])\n\nWhether any worker of the pool holds it."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddLocks(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

}  // namespace greenring::pyhost
