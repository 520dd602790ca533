// greenring.sleep, yield_, current and GreenThread.
#include <memory>

#include "base/clock.h"
#include "green/scheduler.h"
#include "pyhost/core_greenlet.h"
#include "pyhost/hub.h"
#include "pyhost/hub_wait.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/module/arguments.h"
#include "pyhost/module/parts.h"
#include "pyhost/module/wait.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

struct GreenThreadObject {
  PyObject_HEAD PyObject* name;
  unsigned long long id;
  Py_ssize_t stack_size;
};

PyTypeObject* green_thread_type = nullptr;

GreenThreadObject* Cast(PyObject* self) { return reinterpret_cast<GreenThreadObject*>(self); }

void Deallocate(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  Py_CLEAR(Cast(self)->name);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* Represent(PyObject* self) {
  return PyUnicode_FromFormat("<greenring.GreenThread %U #%llu>", Cast(self)->name, Cast(self)->id);
}

PyObject* Name(PyObject* self, void*) { return Py_NewRef(Cast(self)->name); }
PyObject* Id(PyObject* self, void*) { return PyLong_FromUnsignedLongLong(Cast(self)->id); }
PyObject* StackSize(PyObject* self, void*) { return PyLong_FromSsize_t(Cast(self)->stack_size); }

PyGetSetDef kProperties[] = {
    {"name", Name, nullptr, "What it does.", nullptr},
    {"id", Id, nullptr, "No other has it, or will.", nullptr},
    {"stack_size", StackSize, nullptr, "In bytes.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_doc, const_cast<char*>("A green thread, as it was when this was asked for.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(Deallocate)},
    {Py_tp_repr, reinterpret_cast<void*>(Represent)},
    {Py_tp_getset, kProperties},
    {0, nullptr},
};

PyType_Spec kSpec = {"greenring.GreenThread", sizeof(GreenThreadObject), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE, kSlots};

// What OS threads do, and the main thread before there is a scheduler.
PyObject* SleepOsThread(PyObject* seconds) {
  const PyRef time(PyImport_ImportModule("time"));
  return time ? PyObject_CallMethod(time.get(), "sleep", "O", seconds) : nullptr;
}

// A greenlet that is no request's.
bool YieldGreenlet(Hub* hub) {
  const auto wait = std::make_unique<HubWait>(hub);
  wait->Wake();
  return wait->Park(kNeverNs) == HubWait::End::kWoken;
}

PyObject* Yield(PyObject*, PyObject*) {
  if (CoreGreenlet* const core = CoreGreenlet::Current(); core != nullptr) {
    if (!core->Yield()) return nullptr;
    Py_RETURN_NONE;
  }
  green::GreenThread* const self = CurrentGreenThread();
  if (self == nullptr) {
    const PyRef zero(PyLong_FromLong(0));
    return zero ? SleepOsThread(zero.get()) : nullptr;
  }
  if (Hub* const hub = Hub::Current(); hub != nullptr && !hub->IsHubGreenlet(hub->CurrentGreenlet().get())) {
    if (!YieldGreenlet(hub)) return nullptr;
    Py_RETURN_NONE;
  }
  self->scheduler()->Yield();
  if (self->cancel_pending()) {
    InterruptErrors::Raise();
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyObject* Sleep(PyObject* module, PyObject* seconds) {
  int64_t duration_ns;
  if (seconds == Py_None) {
    PyErr_SetString(PyExc_TypeError, "sleep() needs a number of seconds");
    return nullptr;
  }
  if (!ParseTimeout(seconds, &duration_ns)) return nullptr;
  if (duration_ns == 0) return Yield(module, nullptr);
  if (CurrentGreenThread() == nullptr) return SleepOsThread(seconds);
  const auto wait = std::make_unique<Wait>("greenring.sleep");  // in no line: nobody answers
  if (wait->Park(DeadlineAfter(duration_ns)) == WaitResult::kInterrupted) return nullptr;
  Py_RETURN_NONE;
}

PyObject* Current(PyObject*, PyObject*) {
  const green::GreenThread* const thread = CurrentGreenThread();
  if (thread == nullptr) Py_RETURN_NONE;
  PyRef made(green_thread_type->tp_alloc(green_thread_type, 0));
  if (!made) return nullptr;
  Cast(made.get())->name = PyUnicode_FromString(thread->name());
  Cast(made.get())->id = thread->id();
  Cast(made.get())->stack_size = static_cast<Py_ssize_t>(thread->stack().size_bytes);
  return Cast(made.get())->name != nullptr ? made.release() : nullptr;
}

PyMethodDef kFunctions[] = {
    {"sleep", Sleep, METH_O, "sleep($module, seconds, /)\n--\n\nThe others run meanwhile."},
    {"yield_", Yield, METH_NOARGS, "yield_($module)\n--\n\nLets every other green thread that can run do so first."},
    {"current", Current, METH_NOARGS,
     "current($module)\n--\n\nThe green thread that calls it, as a GreenThread; None on other threads."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddScheduling(PyObject* module) {
  return AddType(module, &kSpec, &green_thread_type) && PyModule_AddFunctions(module, kFunctions) == 0;
}

}  // namespace greenring::pyhost
