#include "pyhost/request_body.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "pyhost/exchange_error.h"
#include "pyhost/os_thread.h"

namespace greenring::pyhost {
namespace {

// What readline reads ahead. Two typical TCP segments times two; kept by the object for its next request.
constexpr size_t kBufferBytes = 8192;

// read() of a body allocates at most this much before data has come: a Content-Length is only a promise.
constexpr size_t kFirstReadBytesMax = 256 * 1024;

struct State {
  Exchange* exchange = nullptr;    // null once detached
  const void* reader = nullptr;    // who handles the request: CurrentThreadToken
  int64_t remaining_bytes = 0;     // still to come from the exchange; -1 when only the end tells
  bool reading = false;            // a read is parked in the exchange
  size_t begin = 0, end = 0;       // what the buffer holds
  absl::Status status;             // why reading failed
  std::unique_ptr<char[]> buffer;  // made when readline first needs it
};

struct RequestBody {
  PyObject_HEAD State state;
};

State* StateOf(PyObject* self) { return &reinterpret_cast<RequestBody*>(self)->state; }

// The state, or null with a Python error when `self` must not be read here and now.
State* Readable(PyObject* self) {
  State* state = StateOf(self);
  if (state->exchange == nullptr) {
    PyErr_SetString(PyExc_ValueError, "wsgi.input cannot be read after its request has ended");
    return nullptr;
  }
  if (CurrentThreadToken() != state->reader || state->reading) {
    PyErr_SetString(PyExc_RuntimeError, "wsgi.input can only be read by the thread that handles the request");
    return nullptr;
  }
  return state;
}

void NoteReceived(State* state, size_t size) {
  if (size == 0) {
    state->remaining_bytes = 0;
  } else if (state->remaining_bytes > 0) {
    state->remaining_bytes -= static_cast<int64_t>(size);
  }
}

// The next bytes from the exchange: 0 at the end of the body, -1 with a Python error. Parks.
Py_ssize_t Receive(State* state, char* out, size_t size) {
  if (state->remaining_bytes >= 0) size = std::min<uint64_t>(size, static_cast<uint64_t>(state->remaining_bytes));
  if (size == 0) return 0;
  state->reading = true;
  const absl::StatusOr<size_t> received = state->exchange->ReadBody(out, size);
  state->reading = false;
  if (!received.ok()) {
    if (!absl::IsCancelled(received.status())) state->status = received.status();
    RaiseExchangeError(received.status());
    return -1;
  }
  NoteReceived(state, *received);
  return static_cast<Py_ssize_t>(*received);
}

size_t TakeBuffered(State* state, char* out, size_t size) {
  size = std::min(size, state->end - state->begin);
  if (size > 0) std::memcpy(out, state->buffer.get() + state->begin, size);
  state->begin += size;
  return size;
}

// Up to `limit` bytes, fewer only at the end of the body. Parks.
PyObject* ReadUpTo(State* state, size_t limit) {
  const size_t buffered = state->end - state->begin;
  if (state->remaining_bytes >= 0) {
    limit = std::min<uint64_t>(limit, buffered + static_cast<uint64_t>(state->remaining_bytes));
  }
  size_t capacity = std::min(limit, std::max(buffered, kFirstReadBytesMax));
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(capacity));
  if (bytes == nullptr) return nullptr;
  size_t size = TakeBuffered(state, PyBytes_AS_STRING(bytes), capacity);
  while (size < limit) {
    if (size == capacity) {
      capacity = std::min(limit, capacity * 2);
      if (_PyBytes_Resize(&bytes, static_cast<Py_ssize_t>(capacity)) < 0) return nullptr;
    }
    const Py_ssize_t received = Receive(state, PyBytes_AS_STRING(bytes) + size, capacity - size);
    if (received < 0) {
      Py_DECREF(bytes);
      return nullptr;
    }
    if (received == 0) break;
    size += static_cast<size_t>(received);
  }
  if (size < capacity) _PyBytes_Resize(&bytes, static_cast<Py_ssize_t>(size));  // sets bytes to null on failure
  return bytes;
}

// False with a Python error; at the end of the body the buffer stays empty. Parks.
bool FillBuffer(State* state) {
  if (state->buffer == nullptr) state->buffer = std::make_unique_for_overwrite<char[]>(kBufferBytes);
  state->begin = state->end = 0;
  const Py_ssize_t received = Receive(state, state->buffer.get(), kBufferBytes);
  if (received < 0) return false;
  state->end = static_cast<size_t>(received);
  return true;
}

// Up to and with the next line feed, at most `limit` bytes; empty at the end of the body. Parks.
PyObject* ReadLine(State* state, size_t limit) {
  std::string line;  // what earlier fillings of the buffer had of it
  while (line.size() < limit) {
    if (state->begin == state->end) {
      if (!FillBuffer(state)) return nullptr;
      if (state->end == 0) break;
    }
    const char* begin = state->buffer.get() + state->begin;
    size_t size = std::min(state->end - state->begin, limit - line.size());
    const void* feed = std::memchr(begin, '\n', size);
    if (feed != nullptr) size = static_cast<size_t>(static_cast<const char*>(feed) - begin) + 1;
    state->begin += size;
    if (feed != nullptr && line.empty()) return PyBytes_FromStringAndSize(begin, static_cast<Py_ssize_t>(size));
    line.append(begin, size);
    if (feed != nullptr) break;
  }
  return PyBytes_FromStringAndSize(line.data(), static_cast<Py_ssize_t>(line.size()));
}

// An optional size argument; None and negative mean without limit.
bool SizeArgument(const char* method, PyObject* const* arguments, Py_ssize_t count, size_t* size) {
  *size = PY_SSIZE_T_MAX;
  if (count > 1) {
    PyErr_Format(PyExc_TypeError, "wsgi.input.%s() takes at most one argument (%zd given)", method, count);
    return false;
  }
  if (count == 0 || arguments[0] == Py_None) return true;
  const Py_ssize_t value = PyNumber_AsSsize_t(arguments[0], nullptr);  // clips
  if (value == -1 && PyErr_Occurred() != nullptr) return false;
  if (value >= 0) *size = static_cast<size_t>(value);
  return true;
}

PyObject* BodyRead(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  size_t size;
  if (!SizeArgument("read", arguments, count, &size)) return nullptr;
  State* state = Readable(self);
  return state != nullptr ? ReadUpTo(state, size) : nullptr;
}

PyObject* BodyReadLine(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  size_t size;
  if (!SizeArgument("readline", arguments, count, &size)) return nullptr;
  State* state = Readable(self);
  return state != nullptr ? ReadLine(state, size) : nullptr;
}

// The hint bounds the lines' sizes: reading stops after the line that reaches it; 0 means without limit, as in io.
PyObject* BodyReadLines(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  size_t hint;
  if (!SizeArgument("readlines", arguments, count, &hint)) return nullptr;
  if (hint == 0) hint = PY_SSIZE_T_MAX;
  State* state = Readable(self);
  PyRef lines(state != nullptr ? PyList_New(0) : nullptr);
  if (!lines) return nullptr;
  for (size_t size = 0; size < hint;) {
    const PyRef line(ReadLine(state, PY_SSIZE_T_MAX));
    if (!line) return nullptr;
    if (PyBytes_GET_SIZE(line.get()) == 0) break;
    if (PyList_Append(lines.get(), line.get()) < 0) return nullptr;
    size += static_cast<size_t>(PyBytes_GET_SIZE(line.get()));
  }
  return lines.release();
}

// As RawIOBase.readinto: at least one byte unless the body is over.
PyObject* BodyReadInto(PyObject* self, PyObject* target) {
  State* state = Readable(self);
  Py_buffer view;
  if (state == nullptr || PyObject_GetBuffer(target, &view, PyBUF_CONTIG) < 0) return nullptr;
  Py_ssize_t size = static_cast<Py_ssize_t>(TakeBuffered(state, static_cast<char*>(view.buf), view.len));
  if (size == 0) size = Receive(state, static_cast<char*>(view.buf), view.len);
  PyBuffer_Release(&view);
  return size >= 0 ? PyLong_FromSsize_t(size) : nullptr;
}

PyObject* BodyClose(PyObject*, PyObject*) { Py_RETURN_NONE; }

PyObject* BodyNext(PyObject* self) {
  State* state = Readable(self);
  PyRef line(state != nullptr ? ReadLine(state, PY_SSIZE_T_MAX) : nullptr);
  if (line && PyBytes_GET_SIZE(line.get()) == 0) line.reset();  // without an error: StopIteration
  return line.release();
}

void Deallocate(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  StateOf(self)->~State();
  PyObject_Free(self);
  Py_DECREF(type);
}

template <typename Function>
PyMethodDef Method(const char* name, Function function, int flags, const char* doc) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)), flags, doc};
}

PyMethodDef kMethods[] = {
    Method("read", BodyRead, METH_FASTCALL, "Reads `size` bytes, all when negative; fewer only at the end."),
    Method("readline", BodyReadLine, METH_FASTCALL, "Reads a line with its line feed, at most `size` bytes of it."),
    Method("readlines", BodyReadLines, METH_FASTCALL, "Reads lines until their sizes reach `hint`."),
    Method("readinto", BodyReadInto, METH_O, "Reads at least one byte, unless at the end, into a buffer."),
    Method("close", BodyClose, METH_NOARGS, "Does nothing: the stream belongs to the server."),
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(Deallocate)},
    {Py_tp_methods, kMethods},
    {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
    {Py_tp_iternext, reinterpret_cast<void*>(BodyNext)},
    {0, nullptr},
};

PyType_Spec kSpec = {"greenring.RequestBody", sizeof(RequestBody), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, kSlots};

}  // namespace

PyRef NewRequestBodyType() { return PyRef(PyType_FromSpec(&kSpec)); }

PyRef NewRequestBody(PyObject* type) {
  PyRef body(reinterpret_cast<PyObject*>(PyObject_New(RequestBody, reinterpret_cast<PyTypeObject*>(type))));
  if (body) new (StateOf(body.get())) State();
  return body;
}

void AttachRequestBody(PyObject* body, Exchange* exchange, const protocol::RequestHead& head) {
  State* state = StateOf(body);
  state->exchange = exchange;
  state->reader = CurrentThreadToken();
  state->remaining_bytes = head.content_length;  // -1 when chunked
  state->begin = state->end = 0;
  state->status = absl::OkStatus();
}

absl::Status ReadBodyChunk(PyObject* body, int64_t timeout_ns, std::string* chunk) {
  State* const state = Readable(body);
  if (state == nullptr) return absl::FailedPreconditionError("wsgi.input cannot be read");
  if (state->begin < state->end) {  // what readline has read ahead
    chunk->append(state->buffer.get() + state->begin, state->end - state->begin);
    state->begin = state->end;
    return absl::OkStatus();
  }
  while (state->remaining_bytes != 0 && chunk->size() < kChunkBytesMax) {
    const size_t size_before = chunk->size();
    chunk->resize(std::min(size_before + kBufferBytes, kChunkBytesMax));
    state->reading = true;
    const absl::StatusOr<size_t> received =
        state->exchange->ReadBodyWithin(chunk->data() + size_before, chunk->size() - size_before, timeout_ns);
    state->reading = false;
    chunk->resize(size_before + (received.ok() ? *received : 0));
    if (!received.ok()) {
      const bool can_go_on = absl::IsCancelled(received.status()) || absl::IsDeadlineExceeded(received.status());
      if (!can_go_on) state->status = received.status();
      return received.status();
    }
    NoteReceived(state, *received);
    if (state->exchange->chunk_left_bytes() == 0) break;
  }
  return absl::OkStatus();
}

void DetachRequestBody(PyObject* body) { StateOf(body)->exchange = nullptr; }

absl::Status RequestBodyStatus(PyObject* body) { return StateOf(body)->status; }

}  // namespace greenring::pyhost
