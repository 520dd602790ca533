// greenring.Channel and greenring.Case: values handed from thread to thread, as in green/sync/channel.h, between green
// threads and OS threads alike.
//
// GIL held.
#pragma once

#include <vector>

#include "pyhost/module/wait.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

// The part of a channel that Select needs. Senders wait only while the buffer is full, receivers only while it is
// empty.
struct Channel {
  PyObject_HEAD PyObject* weak_references;
  PyObject** slots;  // a ring of `capacity`
  Py_ssize_t capacity;
  Py_ssize_t head;
  Py_ssize_t size;
  bool closed;
  Line senders;
  Line receivers;
  std::vector<PyObject*> returned;  // come before the buffer: received by one that was interrupted

  // Whether a send or a receive needs no waiting. A closed channel is always ready.
  bool can_send() const { return closed || size < capacity || !receivers.empty(); }
  bool can_receive() const { return closed || size > 0 || !returned.empty() || !senders.empty(); }

  // They can: kDone or kClosed. Never park.
  WaitResult SendNow(PyObject* value);
  WaitResult ReceiveNow(PyObject** value);  // a new reference

  // What was received is for the next one; takes over the reference. A Python error may be set. Never parks.
  void Return(PyObject* value);
};

// What Select is given: sending to, or receiving from, one channel.
struct Case {
  PyObject_HEAD PyObject* channel;
  PyObject* value;  // null: receives
};

extern PyTypeObject* channel_type;
extern PyTypeObject* case_type;

bool AddCase(PyObject* module);

// A new case; `value` is null for one that receives.
PyObject* NewCase(PyObject* channel, PyObject* value);

// ChannelClosed for a send or a receive.
void RaiseClosed(PyObject* channel, bool sending);

}  // namespace greenring::pyhost
