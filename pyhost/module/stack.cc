#include "green/scheduler.h"
#include "pyhost/module/parts.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {
namespace {

PyStructSequence_Field kFields[] = {
    {"size", "bytes of stack that each green thread has"},
    {"used", "bytes that the caller uses now; 0 on no green thread"},
    {"deepest", "bytes that the deepest of all has used so far; more than size: in an overflow"},
    {"overflows", "how many times a stack has overflowed"},
    {"recommended", "bytes that --stack_size should be"},
    {nullptr, nullptr},
};

PyStructSequence_Desc kDescription = {"greenring.StackReport", "How much stack green threads need.", kFields, 5};

PyTypeObject* type = nullptr;  // for the process's life

PyObject* StackReport(PyObject*, PyObject*) {
  green::Scheduler* const scheduler = green::Scheduler::Current();
  if (scheduler == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "stack_report() has nothing to report outside the server's requests");
    return nullptr;
  }
  const green::StackReport report = scheduler->ReportStacks();
  const green::GreenThread* const self = scheduler->current();
  const size_t used = self != nullptr ? scheduler->StackUseBytes(*self) : 0;
  PyRef result(PyStructSequence_New(type));
  if (!result) return nullptr;
  Py_ssize_t index = 0;
  for (const size_t value : {report.size_bytes, used, report.deepest_bytes, size_t{scheduler->stats().overflows},
                             report.recommended_bytes}) {
    PyObject* const number = PyLong_FromSize_t(value);
    if (number == nullptr) return nullptr;
    PyStructSequence_SetItem(result.get(), index++, number);
  }
  return result.release();
}

PyMethodDef kMethods[] = {
    {"stack_report", &StackReport, METH_NOARGS,
     "How much stack green threads have, use and need. A system call for each stack: not for every request."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddStack(PyObject* module) {
  type = PyStructSequence_NewType(&kDescription);
  return type != nullptr && PyModule_AddObjectRef(module, "StackReport", reinterpret_cast<PyObject*>(type)) == 0 &&
         PyModule_AddFunctions(module, kMethods) == 0;
}

}  // namespace greenring::pyhost
