#include "pyhost/module/channel.h"

#include <structmember.h>

#include <new>
#include <utility>

#include "pyhost/module/arguments.h"
#include "pyhost/module/errors.h"
#include "pyhost/module/parts.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {

PyTypeObject* channel_type = nullptr;

namespace {

constexpr Py_ssize_t kWeakReferencesOffset = sizeof(PyObject);

Channel* Cast(PyObject* self) { return reinterpret_cast<Channel*>(self); }

void Push(Channel* channel, PyObject* value) {
  Py_ssize_t slot = channel->head + channel->size;
  if (slot >= channel->capacity) slot -= channel->capacity;
  channel->slots[slot] = Py_NewRef(value);
  ++channel->size;
}

PyObject* Pop(Channel* channel) {
  PyObject* const value = channel->slots[channel->head];
  if (++channel->head == channel->capacity) channel->head = 0;
  --channel->size;
  return value;
}

// ---- its life -----------------------------------------------------------------------------------------------------

PyObject* New(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  static const char* kNames[] = {"capacity", nullptr};
  Py_ssize_t capacity = 0;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|n:Channel", const_cast<char**>(kNames), &capacity)) {
    return nullptr;
  }
  if (capacity < 0) {
    PyErr_Format(PyExc_ValueError, "Channel(%zd): a capacity is 0 (each send waits for its recv) or more", capacity);
    return nullptr;
  }
  PyRef self(type->tp_alloc(type, 0));
  if (!self) return nullptr;
  Channel* const channel = Cast(self.get());
  new (&channel->senders) Line();
  new (&channel->receivers) Line();
  new (&channel->returned) std::vector<PyObject*>();
  channel->capacity = capacity;
  if (capacity > 0) channel->slots = PyMem_New(PyObject*, static_cast<size_t>(capacity));
  if (capacity > 0 && channel->slots == nullptr) return PyErr_NoMemory();
  return self.release();
}

int Traverse(PyObject* self, visitproc visit, void* arg) {
  const Channel* const channel = Cast(self);
  Py_VISIT(Py_TYPE(self));
  for (PyObject* value : channel->returned) Py_VISIT(value);
  for (Py_ssize_t i = 0; i < channel->size; ++i) Py_VISIT(channel->slots[(channel->head + i) % channel->capacity]);
  return 0;
}

int Clear(PyObject* self) {
  for (PyObject* value : std::exchange(Cast(self)->returned, {})) Py_DECREF(value);
  while (Cast(self)->size > 0) Py_DECREF(Pop(Cast(self)));
  return 0;
}

void Deallocate(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (Cast(self)->weak_references != nullptr) PyObject_ClearWeakRefs(self);
  Clear(self);
  PyMem_Free(Cast(self)->slots);
  Cast(self)->senders.~Line();
  Cast(self)->receivers.~Line();
  Cast(self)->returned.~vector();
  type->tp_free(self);
  Py_DECREF(type);
}

// ---- its methods --------------------------------------------------------------------------------------------------

void RaiseTimedOut(const char* what) { PyErr_SetString(PyExc_TimeoutError, what); }

PyObject* Send(PyObject* self, const Arguments& arguments) {
  Channel* const channel = Cast(self);
  PyObject* values[] = {nullptr, nullptr};
  int64_t timeout_ns;
  if (!ParseArguments("send", arguments, {"value", "timeout"}, 1, values) || !ParseTimeout(values[1], &timeout_ns)) {
    return nullptr;
  }
  WaitResult sent;
  if (channel->can_send()) {
    sent = channel->SendNow(values[0]);
  } else if (timeout_ns == 0) {
    sent = WaitResult::kTimedOut;
  } else {
    sent = WaitInLine(&channel->senders, &values[0], timeout_ns, "Channel.send");
  }
  if (sent == WaitResult::kDone) Py_RETURN_NONE;
  if (sent == WaitResult::kClosed) RaiseClosed(self, /*sending=*/true);
  if (sent == WaitResult::kTimedOut) RaiseTimedOut("send(): nobody has received in that time");
  return nullptr;
}

// `*value` is null.
WaitResult ReceiveWithin(Channel* channel, int64_t timeout_ns, PyObject** value) {
  if (channel->can_receive()) return channel->ReceiveNow(value);
  if (timeout_ns == 0) return WaitResult::kTimedOut;
  const WaitResult received = WaitInLine(&channel->receivers, value, timeout_ns, "Channel.recv");
  if (received == WaitResult::kInterrupted && *value != nullptr) channel->Return(std::exchange(*value, nullptr));
  return received;
}

PyObject* Receive(PyObject* self, const Arguments& arguments) {
  int64_t timeout_ns;
  if (!ParseOnlyTimeout("recv", arguments, &timeout_ns)) return nullptr;
  PyObject* value = nullptr;
  const WaitResult received = ReceiveWithin(Cast(self), timeout_ns, &value);
  if (received == WaitResult::kClosed) RaiseClosed(self, /*sending=*/false);
  if (received == WaitResult::kTimedOut) RaiseTimedOut("recv(): nobody has sent in that time");
  return value;
}

PyObject* Next(PyObject* self) {
  PyObject* value = nullptr;
  ReceiveWithin(Cast(self), kNeverNs, &value);
  return value;  // null without an error at the end: StopIteration
}

PyObject* Close(PyObject* self, PyObject*) {
  Channel* const channel = Cast(self);
  channel->closed = true;
  while (Waiter* sender = channel->senders.front()) sender->Answer(WaitResult::kClosed);
  while (Waiter* receiver = channel->receivers.front()) receiver->Answer(WaitResult::kClosed);
  Py_RETURN_NONE;
}

PyObject* OnReceive(PyObject* self, PyObject*) { return NewCase(self, nullptr); }

PyObject* OnSend(PyObject* self, PyObject* value) { return NewCase(self, value); }

Py_ssize_t Length(PyObject* self) { return Cast(self)->size + static_cast<Py_ssize_t>(Cast(self)->returned.size()); }

int IsTrue(PyObject*) { return 1; }  // also when it is empty: `if channel:` asks whether there is one

PyObject* Closed(PyObject* self, void*) { return PyBool_FromLong(Cast(self)->closed); }

PyObject* Balance(PyObject* self, void*) {
  const auto senders = static_cast<Py_ssize_t>(Cast(self)->senders.Count());
  return PyLong_FromSsize_t(senders - static_cast<Py_ssize_t>(Cast(self)->receivers.Count()));
}

PyObject* Capacity(PyObject* self, void*) { return PyLong_FromSsize_t(Cast(self)->capacity); }

PyObject* Represent(PyObject* self) {
  const Channel* const channel = Cast(self);
  return PyUnicode_FromFormat("<greenring.Channel %zd/%zd%s at %p>", channel->size, channel->capacity,
                              channel->closed ? " closed" : "", self);
}

PyMethodDef kMethods[] = {
    Method<Send>("send", "send($self, value, timeout=None)\n--\n\nUntil it is received, or in the buffer."),
    Method<Receive>("recv", "recv($self, timeout=None)\n--\n\nWaits for a value."),
    {"close", Close, METH_NOARGS,
     "close($self)\n--\n\nNothing more is sent; what is in the buffer can still be received."},
    {"on_recv", OnReceive, METH_NOARGS, "on_recv($self)\n--\n\nFor select(): receiving from this channel."},
    {"on_send", OnSend, METH_O, "on_send($self, value, /)\n--\n\nFor select(): sending it to this channel."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "For type annotations: Channel[int]."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef kProperties[] = {
    {"capacity", Capacity, nullptr, "How many values the buffer holds.", nullptr},
    {"closed", Closed, nullptr, "Whether close() was called.", nullptr},
    {"balance", Balance, nullptr, "How many wait in send(), or, negative, in recv().", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef kMembers[] = {
    {"__weaklistoffset__", T_PYSSIZET, kWeakReferencesOffset, READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_doc, const_cast<char*>("Channel(capacity=0): values handed from one thread to another.")},
    {Py_tp_new, reinterpret_cast<void*>(New)},
    {Py_tp_dealloc, reinterpret_cast<void*>(Deallocate)},
    {Py_tp_traverse, reinterpret_cast<void*>(Traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(Clear)},
    {Py_tp_repr, reinterpret_cast<void*>(Represent)},
    {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
    {Py_tp_iternext, reinterpret_cast<void*>(Next)},
    {Py_sq_length, reinterpret_cast<void*>(Length)},
    {Py_nb_bool, reinterpret_cast<void*>(IsTrue)},
    {Py_tp_methods, kMethods},
    {Py_tp_getset, kProperties},
    {Py_tp_members, kMembers},
    {0, nullptr},
};

PyType_Spec kSpec = {"greenring.Channel", sizeof(Channel), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE, kSlots};

}  // namespace

WaitResult Channel::SendNow(PyObject* value) {
  if (closed) return WaitResult::kClosed;
  if (Waiter* receiver = receivers.front()) {
    receiver->value = Py_NewRef(value);
    receiver->Answer(WaitResult::kDone);
  } else {
    Push(this, value);
  }
  return WaitResult::kDone;
}

WaitResult Channel::ReceiveNow(PyObject** value) {
  if (!returned.empty()) {
    *value = returned.front();
    returned.erase(returned.begin());
    return WaitResult::kDone;
  }
  Waiter* const sender = senders.front();
  if (size > 0) {
    *value = Pop(this);
    if (sender != nullptr) Push(this, sender->value);  // the longest waiting one takes the free slot
  } else if (sender != nullptr) {
    *value = Py_NewRef(sender->value);
  } else {
    return WaitResult::kClosed;
  }
  if (sender != nullptr) sender->Answer(WaitResult::kDone);
  return WaitResult::kDone;
}

void Channel::Return(PyObject* value) {
  if (Waiter* receiver = receivers.front()) {
    receiver->value = value;
    receiver->Answer(WaitResult::kDone);
  } else {
    returned.push_back(value);
  }
}

void RaiseClosed(PyObject* channel, bool sending) {
  RaiseChannelClosed(channel, sending ? "the channel is closed: nothing can be sent to it"
                                      : "the channel is closed, and everything in it was received");
}

bool AddChannel(PyObject* module) { return AddType(module, &kSpec, &channel_type) && AddCase(module); }

}  // namespace greenring::pyhost
