// greenring.Case and greenring.select.
#include <memory>
#include <utility>
#include <vector>

#include "pyhost/module/arguments.h"
#include "pyhost/module/channel.h"
#include "pyhost/module/parts.h"
#include "pyhost/module/wait.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {

PyTypeObject* case_type = nullptr;

namespace {

Case* Cast(PyObject* self) { return reinterpret_cast<Case*>(self); }

int Traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(Cast(self)->channel);
  Py_VISIT(Cast(self)->value);
  return 0;
}

int Clear(PyObject* self) {
  Py_CLEAR(Cast(self)->channel);
  Py_CLEAR(Cast(self)->value);
  return 0;
}

void Deallocate(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* Represent(PyObject* self) {
  if (Cast(self)->value == nullptr) return PyUnicode_FromFormat("<greenring.Case: recv of %R>", Cast(self)->channel);
  return PyUnicode_FromFormat("<greenring.Case: send to %R>", Cast(self)->channel);
}

PyMethodDef kMethods[] = {
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "For type annotations: Case[int]."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_doc, const_cast<char*>("What select() may do: made by Channel.on_recv() and Channel.on_send(value).")},
    {Py_tp_dealloc, reinterpret_cast<void*>(Deallocate)},
    {Py_tp_traverse, reinterpret_cast<void*>(Traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(Clear)},
    {Py_tp_repr, reinterpret_cast<void*>(Represent)},
    {Py_tp_methods, kMethods},
    {0, nullptr},
};

PyType_Spec kSpec = {
    "greenring.Case", sizeof(Case), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE, kSlots};

// Marsaglia's xorshift: fairness needs no better, and a fixed start makes runs repeatable.
uint32_t NextRandom() {
  static uint32_t state = 2463534242;
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

// One argument of select().
struct Choice {
  PyObject* given = nullptr;  // borrowed: the caller holds it
  Channel* channel = nullptr;
  bool sends = false;
  Waiter waiter;

  bool can_happen() const { return sends ? channel->can_send() : channel->can_receive(); }
  WaitResult Happen() { return sends ? channel->SendNow(waiter.value) : channel->ReceiveNow(&waiter.value); }
};

using Choices = std::vector<Choice>;

// False with a Python error. None is left out: it never happens.
bool ReadChoices(const Arguments& arguments, Choices* choices, size_t* count) {
  for (Py_ssize_t i = 0; i < arguments.count; ++i) {
    PyObject* const given = arguments.values[i];
    if (given == Py_None) continue;
    Choice* const choice = &(*choices)[(*count)++];
    choice->given = given;
    if (Py_IS_TYPE(given, case_type)) {
      choice->channel = reinterpret_cast<Channel*>(Cast(given)->channel);
      choice->waiter.value = Cast(given)->value;
      choice->sends = Cast(given)->value != nullptr;
    } else if (Py_IS_TYPE(given, channel_type)) {
      choice->channel = reinterpret_cast<Channel*>(given);
    } else {
      PyErr_Format(PyExc_TypeError,
                   "select() takes channels, channel.on_recv(), channel.on_send(value) and None, not %.200s",
                   Py_TYPE(given)->tp_name);
      return false;
    }
  }
  return true;
}

// Each that is ready replaces the one chosen so far with the chance that makes all of them equally likely in the end.
Choice* PickReady(Choices* choices, size_t count) {
  Choice* picked = nullptr;
  uint32_t ready = 0;
  for (size_t i = 0; i < count; ++i) {
    Choice* const each = &(*choices)[i];
    if (each->can_happen() && (++ready == 1 || NextRandom() % ready == 0)) picked = each;
  }
  return picked;
}

// The one that has happened; null if none has, or it was undone.
Choice* WaitForOne(Choices* choices, size_t count, int64_t timeout_ns, WaitResult* result) {
  const auto wait = std::make_unique<Wait>("greenring.select");
  for (size_t i = 0; i < count; ++i) {
    Choice* const each = &(*choices)[i];
    wait->StandIn(each->sends ? &each->channel->senders : &each->channel->receivers, &each->waiter);
  }
  *result = wait->Park(DeadlineAfter(timeout_ns));
  Choice* happened = nullptr;
  for (size_t i = 0; i < count; ++i) {
    if (&(*choices)[i].waiter == wait->answered()) happened = &(*choices)[i];
  }
  if (happened == nullptr || *result != WaitResult::kInterrupted) return happened;
  Waiter* const waiter = &happened->waiter;
  if (!happened->sends && waiter->value != nullptr) happened->channel->Return(std::exchange(waiter->value, nullptr));
  return nullptr;
}

// What select() returns for `choice`; takes over what it received.
PyObject* Report(Choice* choice, WaitResult result) {
  if (result == WaitResult::kClosed) {
    RaiseClosed(reinterpret_cast<PyObject*>(choice->channel), choice->sends);
    return nullptr;
  }
  const PyRef value(choice->sends ? Py_NewRef(Py_None) : choice->waiter.value);
  return PyTuple_Pack(2, choice->given, value.get());
}

PyObject* Select(PyObject*, const Arguments& arguments) {
  PyObject* options[] = {nullptr, nullptr};  // timeout, default
  int64_t timeout_ns;
  const Arguments named{arguments.values + arguments.count, 0, arguments.names};
  if (!ParseArguments("select", named, {"timeout", "default"}, 0, options) || !ParseTimeout(options[0], &timeout_ns)) {
    return nullptr;
  }
  if (options[0] == nullptr && options[1] != nullptr) timeout_ns = 0;
  Choices choices(static_cast<size_t>(arguments.count));
  size_t count = 0;
  if (!ReadChoices(arguments, &choices, &count)) return nullptr;
  if (count == 0 && timeout_ns == kNeverNs) {
    PyErr_SetString(PyExc_ValueError, "select() would wait for ever: give it a channel, a timeout or a default");
    return nullptr;
  }
  if (Choice* const ready = PickReady(&choices, count)) {
    const WaitResult result = ready->Happen();
    return Report(ready, result);
  }
  WaitResult result = WaitResult::kTimedOut;
  Choice* const happened = timeout_ns == 0 ? nullptr : WaitForOne(&choices, count, timeout_ns, &result);
  if (happened != nullptr) return Report(happened, result);
  if (result == WaitResult::kInterrupted) return nullptr;
  if (options[1] != nullptr) return PyTuple_Pack(2, Py_None, options[1]);
  PyErr_SetString(PyExc_TimeoutError, "select(): nothing has happened in that time");
  return nullptr;
}

PyMethodDef kFunctions[] = {
    Method<Select>("select",
                   "select($module, *cases, timeout=None, default=...)\n--\n\nDoes the first that can be done; returns "
                   "it, and what it received."),
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* NewCase(PyObject* channel, PyObject* value) {
  PyObject* const self = case_type->tp_alloc(case_type, 0);
  if (self == nullptr) return nullptr;
  Cast(self)->channel = Py_NewRef(channel);
  Cast(self)->value = Py_XNewRef(value);
  return self;
}

bool AddCase(PyObject* module) { return AddType(module, &kSpec, &case_type); }

bool AddSelect(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

}  // namespace greenring::pyhost
