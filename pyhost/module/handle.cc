#include "pyhost/module/handle.h"

#include <structmember.h>

#include <new>
#include <utility>

#include "pyhost/green_pool.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/module/errors.h"
#include "pyhost/module/parts.h"
#include "pyhost/module/wait.h"
#include "pyhost/module/wait_group.h"
#include "pyhost/py_ref.h"
#include "pyhost/python_error.h"

namespace greenring::pyhost {
namespace {

struct Handle;

// The pool's view of a handle. It holds a reference to it from start to end.
class HandleJob final : public GreenPool::Job {
 public:
  explicit HandleJob(Handle* handle) : handle_(handle) {}

 private:
  void Run() override;
  void CancelBeforeRun(PyObject* exception) override;
  void OnEnded() override;
  const char* name() const override;

  Handle* const handle_;
};

struct Handle {
  PyObject_HEAD PyObject* weak_references;
  PyObject* name;  // str

  // Until the function is called.
  PyObject* function;
  PyObject* arguments;  // a tuple: the positional ones, then the keywords'
  PyObject* keywords;   // a tuple of names, or null
  PyObject* context;
  PyObject* group;  // a WaitGroup, or null; until the end

  PyObject* result;     // one of these two, from the end on
  PyObject* exception;  //
  bool done;
  bool asked;  // somebody has seen how it ended
  Line joiners;
  HandleJob job;
};
constexpr Py_ssize_t kWeakReferencesOffset = sizeof(PyObject);

PyTypeObject* handle_type = nullptr;

Handle* Cast(PyObject* self) { return reinterpret_cast<Handle*>(self); }
PyObject* Object(Handle* handle) { return reinterpret_cast<PyObject*>(handle); }

// Ended by an interrupt: not by an error of its own, so nobody needs to be told of it.
bool WasInterrupted(PyObject* exception) {
  return PyErr_GivenExceptionMatches(exception, InterruptErrors::Cancelled()) ||
         PyErr_GivenExceptionMatches(exception, InterruptErrors::RequestTimeout());
}

bool WasCancelled(Handle* handle) {
  return handle->exception != nullptr &&
         PyErr_GivenExceptionMatches(handle->exception, InterruptErrors::Cancelled()) != 0;
}

// ---- its life -----------------------------------------------------------------------------------------------------

void Finish(Handle* handle, PyRef result, PyRef exception) {
  handle->result = result.release();
  handle->exception = exception.release();
  handle->done = true;
  while (Waiter* joiner = handle->joiners.front()) joiner->Answer(WaitResult::kDone);
  if (handle->group != nullptr) {
    const PyRef group(std::exchange(handle->group, nullptr));
    WaitGroupDone(group.get());
  }
}

void HandleJob::Run() {
  const PyRef function(std::exchange(handle_->function, nullptr));
  const PyRef arguments(std::exchange(handle_->arguments, nullptr));
  const PyRef keywords(std::exchange(handle_->keywords, nullptr));
  const PyRef context(std::exchange(handle_->context, nullptr));
  PyRef result;
  if (PyContext_Enter(context.get()) == 0) {
    const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords.get()) : 0;
    const Py_ssize_t positional = PyTuple_GET_SIZE(arguments.get()) - named;
    result.reset(PyObject_Vectorcall(function.get(), PySequence_Fast_ITEMS(arguments.get()),
                                     static_cast<size_t>(positional), keywords.get()));
    PyRef exception = result ? PyRef() : TakeException();
    PyContext_Exit(context.get());
    Finish(handle_, std::move(result), std::move(exception));
  } else {
    Finish(handle_, PyRef(), TakeException());
  }
}

void HandleJob::CancelBeforeRun(PyObject* exception) {
  PyRef taken = exception != nullptr ? PyRef::Share(exception) : TakeException();
  Py_CLEAR(handle_->function);
  Py_CLEAR(handle_->arguments);
  Py_CLEAR(handle_->keywords);
  Py_CLEAR(handle_->context);
  Finish(handle_, PyRef(), std::move(taken));
}

void HandleJob::OnEnded() { Py_DECREF(Object(handle_)); }

const char* HandleJob::name() const {
  const char* const text = PyUnicode_AsUTF8(handle_->name);
  if (text == nullptr) PyErr_Clear();
  return text != nullptr ? text : "go";
}

PyObject* NameOf(PyObject* function) {
  PyObject* const name = PyObject_GetAttrString(function, "__qualname__");
  if (name != nullptr && PyUnicode_Check(name)) return name;
  Py_XDECREF(name);
  PyErr_Clear();
  return PyUnicode_FromString(Py_TYPE(function)->tp_name);
}

// Copies of a tuple's worth of borrowed references.
PyObject* TupleOf(PyObject* const* values, Py_ssize_t count) {
  PyObject* const tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple != nullptr && i < count; ++i) PyTuple_SET_ITEM(tuple, i, Py_NewRef(values[i]));
  return tuple;
}

PyRef NewHandle(const Arguments& arguments, PyObject* group) {
  PyRef made(handle_type->tp_alloc(handle_type, 0));
  if (!made) return made;
  Handle* const handle = Cast(made.get());
  new (&handle->joiners) Line();
  new (&handle->job) HandleJob(handle);
  const Py_ssize_t named = arguments.names != nullptr ? PyTuple_GET_SIZE(arguments.names) : 0;
  handle->function = Py_NewRef(arguments.values[0]);
  handle->keywords = Py_XNewRef(arguments.names);
  handle->group = Py_XNewRef(group);
  handle->arguments = TupleOf(arguments.values + 1, arguments.count - 1 + named);
  handle->context = handle->arguments != nullptr ? PyContext_CopyCurrent() : nullptr;
  handle->name = handle->context != nullptr ? NameOf(handle->function) : nullptr;
  if (handle->name == nullptr) made.reset();
  return made;
}

int Traverse(PyObject* self, visitproc visit, void* arg) {
  const Handle* const handle = Cast(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(handle->function);
  Py_VISIT(handle->arguments);
  Py_VISIT(handle->keywords);
  Py_VISIT(handle->context);
  Py_VISIT(handle->group);
  Py_VISIT(handle->result);
  Py_VISIT(handle->exception);
  return 0;
}

int Clear(PyObject* self) {
  Handle* const handle = Cast(self);
  Py_CLEAR(handle->function);
  Py_CLEAR(handle->arguments);
  Py_CLEAR(handle->keywords);
  Py_CLEAR(handle->context);
  Py_CLEAR(handle->group);
  Py_CLEAR(handle->result);
  Py_CLEAR(handle->exception);
  return 0;
}

// An exception that nobody has asked for is told, as one that ends a thread is. SystemExit just ends it, as there.
void Finalize(PyObject* self) {
  Handle* const handle = Cast(self);
  if (handle->asked || handle->exception == nullptr || WasInterrupted(handle->exception) ||
      PyErr_GivenExceptionMatches(handle->exception, PyExc_SystemExit)) {
    return;
  }
  handle->asked = true;
  PyRef before = TakeException();
  RestoreException(PyRef::Share(handle->exception));
  PyErr_WriteUnraisable(self);
  if (before) RestoreException(std::move(before));
}

void Deallocate(PyObject* self) {
  if (PyObject_CallFinalizerFromDealloc(self) < 0) return;  // somebody holds it again
  Handle* const handle = Cast(self);
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (handle->weak_references != nullptr) PyObject_ClearWeakRefs(self);
  Clear(self);
  Py_CLEAR(handle->name);
  handle->joiners.~Line();
  handle->job.~HandleJob();
  type->tp_free(self);
  Py_DECREF(type);
}

// ---- its methods --------------------------------------------------------------------------------------------------

WaitResult WaitForEnd(Handle* handle, int64_t timeout_ns) {
  if (handle->done) return WaitResult::kDone;
  if (timeout_ns == 0) return WaitResult::kTimedOut;
  if (handle->job.thread() != nullptr && handle->job.thread() == green::GreenThread::Current()) {
    PyErr_SetString(PyExc_RuntimeError, "a green thread cannot wait for its own end");
    return WaitResult::kInterrupted;
  }
  return WaitInLine(&handle->joiners, nullptr, timeout_ns, "Handle.join");
}

// The same where the end must have come: false with a Python error, TimeoutError among them.
bool AwaitEnd(const char* function, PyObject* self, const Arguments& arguments) {
  int64_t timeout_ns;
  if (!ParseOnlyTimeout(function, arguments, &timeout_ns)) return false;
  const WaitResult waited = WaitForEnd(Cast(self), timeout_ns);
  if (waited == WaitResult::kTimedOut) PyErr_Format(PyExc_TimeoutError, "%R has not ended in that time", self);
  if (waited == WaitResult::kDone) Cast(self)->asked = true;
  return waited == WaitResult::kDone;
}

PyObject* Join(PyObject* self, const Arguments& arguments) {
  int64_t timeout_ns;
  if (!ParseOnlyTimeout("join", arguments, &timeout_ns)) return nullptr;
  const WaitResult waited = WaitForEnd(Cast(self), timeout_ns);
  return waited == WaitResult::kInterrupted ? nullptr : PyBool_FromLong(waited == WaitResult::kDone);
}

PyObject* Result(PyObject* self, const Arguments& arguments) {
  if (!AwaitEnd("result", self, arguments)) return nullptr;
  const Handle* const handle = Cast(self);
  if (handle->exception == nullptr) return Py_NewRef(handle->result);
  if (WasInterrupted(handle->exception)) {
    RaiseResultCancelled(self, handle->exception);
  } else {
    RestoreException(PyRef::Share(handle->exception));
  }
  return nullptr;
}

PyObject* Exception(PyObject* self, const Arguments& arguments) {
  if (!AwaitEnd("exception", self, arguments)) return nullptr;
  PyObject* const exception = Cast(self)->exception;
  return Py_NewRef(exception != nullptr ? exception : Py_None);
}

PyObject* Cancel(PyObject* self, PyObject*) {
  return PyBool_FromLong(!Cast(self)->done && GreenPool::Cancel(&Cast(self)->job, "cancelled"));
}

PyObject* Done(PyObject* self, PyObject*) { return PyBool_FromLong(Cast(self)->done); }

PyObject* IsCancelled(PyObject* self, PyObject*) { return PyBool_FromLong(WasCancelled(Cast(self))); }

PyObject* Name(PyObject* self, void*) { return Py_NewRef(Cast(self)->name); }

PyObject* Id(PyObject* self, void*) {
  const uint64_t id = Cast(self)->job.id();
  if (id == 0) Py_RETURN_NONE;
  return PyLong_FromUnsignedLongLong(id);
}

PyObject* Represent(PyObject* self) {
  Handle* const handle = Cast(self);
  const char* state = "done";
  if (!handle->done) {
    state = handle->job.thread() != nullptr ? "running" : "waiting to start";
  } else if (WasCancelled(handle)) {
    state = "cancelled";
  } else if (handle->exception != nullptr) {
    state = "failed";
  }
  return PyUnicode_FromFormat("<greenring.Handle %U #%llu %s>", handle->name,
                              static_cast<unsigned long long>(handle->job.id()), state);
}

PyMethodDef kMethods[] = {
    Method<Join>("join", "join($self, timeout=None)\n--\n\nWaits for its end; False: the timeout came first."),
    Method<Result>("result",
                   "result($self, timeout=None)\n--\n\nWaits, and returns what it returned or raises what it raised."),
    Method<Exception>("exception", "exception($self, timeout=None)\n--\n\nWaits, and returns what it raised, or None."),
    {"cancel", Cancel, METH_NOARGS, "cancel($self)\n--\n\nRaises Cancelled in it. False: it had ended."},
    {"done", Done, METH_NOARGS, "done($self)\n--\n\nWhether it has ended."},
    {"cancelled", IsCancelled, METH_NOARGS, "cancelled($self)\n--\n\nWhether it has ended with Cancelled."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "For type annotations: Handle[int]."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef kProperties[] = {
    {"name", Name, nullptr, "The function's name.", nullptr},
    {"id", Id, nullptr, "The id of its green thread; None: it has none yet.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef kMembers[] = {
    {"__weaklistoffset__", T_PYSSIZET, kWeakReferencesOffset, READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_doc, const_cast<char*>("A function that greenring.go() has started.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(Deallocate)},
    {Py_tp_finalize, reinterpret_cast<void*>(Finalize)},
    {Py_tp_traverse, reinterpret_cast<void*>(Traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(Clear)},
    {Py_tp_repr, reinterpret_cast<void*>(Represent)},
    {Py_tp_methods, kMethods},
    {Py_tp_getset, kProperties},
    {Py_tp_members, kMembers},
    {0, nullptr},
};

PyType_Spec kSpec = {
    "greenring.Handle", sizeof(Handle), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE, kSlots};

PyObject* Go(PyObject*, const Arguments& arguments) { return StartFunction("go", arguments, nullptr); }

PyMethodDef kFunctions[] = {
    Method<Go>(
        "go",
        "go($module, function, /, *args, **kwargs)\n--\n\nRuns it on a green thread of its own; returns its Handle."),
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* StartFunction(const char* function, const Arguments& arguments, PyObject* group) {
  if (arguments.count < 1 || !PyCallable_Check(arguments.values[0])) {
    PyErr_Format(PyExc_TypeError, "%s() needs a function to run, then its arguments: %s(function, 1, name=2)", function,
                 function);
    return nullptr;
  }
  PyRef made = NewHandle(arguments, group);
  if (!made) return nullptr;
  Handle* const handle = Cast(made.get());
  Py_INCREF(made.get());  // the job's
  if (const absl::Status started = GreenPool::Start(&handle->job); !started.ok()) {
    Py_DECREF(made.get());
    PyErr_Format(PyExc_RuntimeError, "%s(): %s", function, std::string(started.message()).c_str());
    return nullptr;
  }
  return made.release();
}

bool AddGo(PyObject* module) {
  return AddType(module, &kSpec, &handle_type) && PyModule_AddFunctions(module, kFunctions) == 0;
}

}  // namespace greenring::pyhost
