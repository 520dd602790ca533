#include "pyhost/module/wait_group.h"

#include <structmember.h>

#include <new>

#include "pyhost/module/arguments.h"
#include "pyhost/module/handle.h"
#include "pyhost/module/parts.h"
#include "pyhost/module/wait.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {
namespace {

struct WaitGroup {
  PyObject_HEAD PyObject* weak_references;
  Py_ssize_t count;
  Line waiters;
};
constexpr Py_ssize_t kWeakReferencesOffset = sizeof(PyObject);

PyTypeObject* wait_group_type = nullptr;

WaitGroup* Cast(PyObject* self) { return reinterpret_cast<WaitGroup*>(self); }

PyObject* New(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  if (PyTuple_GET_SIZE(arguments) > 0 || (keywords != nullptr && PyDict_GET_SIZE(keywords) > 0)) {
    PyErr_SetString(PyExc_TypeError, "WaitGroup() takes no arguments: add(count) counts");
    return nullptr;
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self != nullptr) new (&Cast(self)->waiters) Line();
  return self;
}

void Deallocate(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  if (Cast(self)->weak_references != nullptr) PyObject_ClearWeakRefs(self);
  Cast(self)->waiters.~Line();
  type->tp_free(self);
  Py_DECREF(type);
}

// False with a Python error when that leaves fewer than none.
bool Change(WaitGroup* group, Py_ssize_t by) {
  Py_ssize_t count;
  if (__builtin_add_overflow(group->count, by, &count) || count < 0) {
    PyErr_SetString(PyExc_ValueError, "WaitGroup: more done() than add()");
    return false;
  }
  group->count = count;
  while (count == 0 && !group->waiters.empty()) group->waiters.front()->Answer(WaitResult::kDone);
  return true;
}

PyObject* Add(PyObject* self, const Arguments& arguments) {
  PyObject* count_object = nullptr;
  if (!ParseArguments("add", arguments, {"count"}, 0, &count_object)) return nullptr;
  const Py_ssize_t count = count_object != nullptr ? PyNumber_AsSsize_t(count_object, PyExc_OverflowError) : 1;
  if (PyErr_Occurred() || !Change(Cast(self), count)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* Done(PyObject* self, PyObject*) {
  if (!Change(Cast(self), -1)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* WaitForAll(PyObject* self, const Arguments& arguments) {
  int64_t timeout_ns;
  if (!ParseOnlyTimeout("wait", arguments, &timeout_ns)) return nullptr;
  if (Cast(self)->count == 0) Py_RETURN_TRUE;
  if (timeout_ns == 0) Py_RETURN_FALSE;
  const WaitResult waited = WaitInLine(&Cast(self)->waiters, nullptr, timeout_ns, "WaitGroup.wait");
  return waited == WaitResult::kInterrupted ? nullptr : PyBool_FromLong(waited == WaitResult::kDone);
}

PyObject* Go(PyObject* self, const Arguments& arguments) {
  if (!Change(Cast(self), 1)) return nullptr;
  PyObject* const handle = StartFunction("go", arguments, self);
  if (handle == nullptr) --Cast(self)->count;
  return handle;
}

PyObject* Represent(PyObject* self) { return PyUnicode_FromFormat("<greenring.WaitGroup of %zd>", Cast(self)->count); }

PyMethodDef kMethods[] = {
    Method<Add>("add", "add($self, count=1)\n--\n\nSo many more have to end."),
    {"done", Done, METH_NOARGS, "done($self)\n--\n\nOne has ended."},
    Method<WaitForAll>("wait", "wait($self, timeout=None)\n--\n\nUntil all have ended; False: the timeout came first."),
    Method<Go>("go", "go($self, function, /, *args, **kwargs)\n--\n\nAs greenring.go(), counted until it has ended."),
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef kMembers[] = {
    {"__weaklistoffset__", T_PYSSIZET, kWeakReferencesOffset, READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_doc, const_cast<char*>("WaitGroup(): waits until a number of things have ended.")},
    {Py_tp_new, reinterpret_cast<void*>(New)},
    {Py_tp_dealloc, reinterpret_cast<void*>(Deallocate)},
    {Py_tp_repr, reinterpret_cast<void*>(Represent)},
    {Py_tp_methods, kMethods},
    {Py_tp_members, kMembers},
    {0, nullptr},
};

PyType_Spec kSpec = {"greenring.WaitGroup", sizeof(WaitGroup), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
                     kSlots};

}  // namespace

void WaitGroupDone(PyObject* group) {
  if (!Change(Cast(group), -1)) PyErr_WriteUnraisable(group);  // done() was called for it as well
}

bool AddWaitGroup(PyObject* module) { return AddType(module, &kSpec, &wait_group_type); }

}  // namespace greenring::pyhost
