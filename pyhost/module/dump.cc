// greenring.dump and greenring.threads: the green threads as they are now.
#include <string>

#include "base/clock.h"
#include "green/inspection.h"
#include "green/scheduler.h"
#include "pyhost/module/parts.h"
#include "pyhost/py_ref.h"
#include "pyhost/thread_dump.h"

namespace greenring::pyhost {
namespace {

// In the order of NewThreadInfo; greenring.pyi tells what they are.
constexpr char kFields[] =
    "id name state waiting_for call fd holder seconds timeout cpu_seconds switches stack_used stack_size request";
constexpr Py_ssize_t kFieldCount = 14;

PyObject* thread_info_type = nullptr;  // a named tuple; for the process's life

// Null with RuntimeError.
const green::Scheduler* RunningScheduler() {
  const green::Scheduler* const scheduler = green::Scheduler::Current();
  if (scheduler == nullptr) {
    PyErr_SetString(PyExc_RuntimeError,
                    "only green threads can be asked for each other: call this in a request or in a thread that the "
                    "application has started while it is being served");
  }
  return scheduler;
}

PyObject* NewNone() {
  Py_INCREF(Py_None);
  return Py_None;
}

PyObject* NewSeconds(int64_t duration_ns) {
  return PyFloat_FromDouble(static_cast<double>(duration_ns) / kNanosecondsPerSecond);
}

PyObject* NewText(const std::string& text) {
  return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
}

// Null with a Python error.
PyObject* NewThreadInfo(const green::ThreadInfo& info, int64_t now_ns) {
  const PyRef fields(PyTuple_New(kFieldCount));
  if (!fields) return nullptr;
  Py_ssize_t field = 0;
  const auto set = [&](PyObject* value) { PyTuple_SET_ITEM(fields.get(), field++, value); };
  const bool parked = info.state == green::GreenThread::State::kParked;
  const uint64_t holder_id = info.holder.green_thread_id();
  const std::string request = RequestOf(*info.thread);
  set(PyLong_FromUnsignedLongLong(info.id));
  set(NewText(info.name));
  set(NewText(std::string(green::StateName(info.state))));
  set(parked ? NewText(DescribeWait(info.wait, info.holder)) : NewNone());
  set(parked && info.wait.call != nullptr ? NewText(info.wait.call) : NewNone());
  set(parked && info.wait.fd >= 0 ? PyLong_FromLong(info.wait.fd) : NewNone());
  set(holder_id != 0 ? PyLong_FromUnsignedLongLong(holder_id) : NewNone());
  set(NewSeconds(info.since_ns));
  set(info.deadline_ns != kNeverNs ? NewSeconds(info.deadline_ns > now_ns ? info.deadline_ns - now_ns : 0) : NewNone());
  set(NewSeconds(info.run_ns));
  set(PyLong_FromUnsignedLongLong(info.switches));
  set(PyLong_FromSize_t(info.stack_used_bytes));
  set(PyLong_FromSize_t(info.stack_size_bytes));
  set(!request.empty() ? NewText(request) : NewNone());
  return PyErr_Occurred() == nullptr ? PyObject_CallObject(thread_info_type, fields.get()) : nullptr;
}

PyObject* Threads(PyObject*, PyObject*) {
  const green::Scheduler* const scheduler = RunningScheduler();
  if (scheduler == nullptr) return nullptr;
  const int64_t now_ns = scheduler->clock()->NowNs();
  PyRef list(PyList_New(0));
  if (!list) return nullptr;
  for (const green::ThreadInfo& info : green::InspectThreads(*scheduler)) {
    const PyRef object(NewThreadInfo(info, now_ns));
    if (!object || PyList_Append(list.get(), object.get()) < 0) return nullptr;
  }
  return list.release();
}

PyObject* Dump(PyObject*, PyObject* arguments, PyObject* keywords) {
  static const char* const kNames[] = {"file", nullptr};
  PyObject* file = Py_None;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:dump", const_cast<char**>(kNames), &file)) return nullptr;
  const green::Scheduler* const scheduler = RunningScheduler();
  if (scheduler == nullptr) return nullptr;
  PyRef text(NewText(DumpThreads(*scheduler)));
  if (!text || file == Py_None) return text.release();
  const PyRef written(PyObject_CallMethod(file, "write", "O", text.get()));
  return written ? text.release() : nullptr;
}

PyMethodDef kFunctions[] = {
    {"threads", &Threads, METH_NOARGS, "threads()\n--\n\nAll green threads, by their ids."},
    {"dump", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Dump)), METH_VARARGS | METH_KEYWORDS,
     "dump(file=None)\n--\n\nAll green threads with their Python stacks, as text; also written to `file`."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddDump(PyObject* module) {
  if (thread_info_type == nullptr) {
    const PyRef collections(PyImport_ImportModule("collections"));
    if (!collections) return false;
    PyRef type(PyObject_CallMethod(collections.get(), "namedtuple", "ss", "ThreadInfo", kFields));
    const PyRef doc(PyUnicode_FromString("A green thread as it was when threads() was called."));
    const PyRef name(PyUnicode_FromString("greenring"));
    if (!type || !doc || !name || PyObject_SetAttrString(type.get(), "__doc__", doc.get()) < 0 ||
        PyObject_SetAttrString(type.get(), "__module__", name.get()) < 0) {
      return false;
    }
    thread_info_type = type.release();
  }
  return PyModule_AddFunctions(module, kFunctions) == 0 &&
         PyModule_AddObjectRef(module, "ThreadInfo", thread_info_type) == 0;
}

}  // namespace greenring::pyhost
