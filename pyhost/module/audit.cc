#include "pyhost/audit.h"

#include "base/clock.h"
#include "pyhost/module/parts.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {
namespace {

PyTypeObject* record_type = nullptr;  // for the process's life

PyObject* Seconds(int64_t ns) { return PyFloat_FromDouble(static_cast<double>(ns) / kNanosecondsPerSecond); }

PyObject* Text(const std::string& text) {
  return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
}

PyRef NewRecord(const AuditFinding& finding) {
  PyRef record(PyStructSequence_New(record_type));
  if (!record) return record;
  PyObject* const values[] = {Text(finding.Kind()),       Text(finding.library),
                              Text(finding.function),     Text(finding.PythonLine()),
                              Text(finding.python_stack), PyLong_FromUnsignedLongLong(finding.count),
                              Seconds(finding.total_ns),  Seconds(finding.longest_ns)};
  Py_ssize_t index = 0;
  for (PyObject* const value : values) PyStructSequence_SetItem(record.get(), index++, value);
  if (PyErr_Occurred() != nullptr) record.reset();
  return record;
}

PyObject* AuditReport(PyObject*, PyObject*) {
  const Audit* const audit = Audit::Current();
  if (audit == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "the audit is off: start the server with --audit");
    return nullptr;
  }
  PyRef list(PyList_New(0));
  if (!list) return nullptr;
  for (const AuditFinding& finding : audit->table().Findings()) {
    const PyRef record = NewRecord(finding);
    if (!record || PyList_Append(list.get(), record.get()) != 0) return nullptr;
  }
  return list.release();
}

PyStructSequence_Field kFields[] = {
    {"kind", "how it blocked"},
    {"library", "whose code it was: a path, or python"},
    {"function", "a symbol of the library, or an offset in it"},
    {"line", "the innermost line of Python code"},
    {"stack", "all of them, the first time"},
    {"times", "how often"},
    {"total_s", "how long in all"},
    {"longest_s", "how long at most"},
    {nullptr, nullptr},
};

PyStructSequence_Desc kRecord = {"greenring.AuditRecord", "What blocked the loop.", kFields, 8};

PyMethodDef kFunctions[] = {
    {"audit_report", &AuditReport, METH_NOARGS,
     "audit_report($module)\n--\n\nWhat has blocked the loop so far, a list of AuditRecord, the worst first."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddAudit(PyObject* module) {
  if (record_type == nullptr) record_type = PyStructSequence_NewType(&kRecord);
  return record_type != nullptr && PyModule_AddFunctions(module, kFunctions) == 0 &&
         PyModule_AddObjectRef(module, "AuditRecord", reinterpret_cast<PyObject*>(record_type)) == 0;
}

}  // namespace greenring::pyhost
