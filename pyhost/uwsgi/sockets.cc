// uwsgi.async_connect, connect, is_connected, send, recv, close, connection_fd and disconnect: descriptors by hand, as
// programs for uWSGI use them. What would block waits by the request's core, so that the others of its engine run.
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "pyhost/current_core.h"
#include "pyhost/current_request.h"
#include "pyhost/exchange.h"
#include "pyhost/module/arguments.h"
#include "pyhost/response.h"
#include "pyhost/thread_current_core.h"
#include "pyhost/uwsgi/arguments.h"
#include "pyhost/uwsgi/parts.h"
#include "pyhost/uwsgi/request_state.h"

namespace greenring::pyhost {
namespace {

constexpr int64_t kConnectTimeoutNs = 3 * kNanosecondsPerSecond;  // uWSGI's, where none is given
constexpr int kReceiveBytesMax = 4096;                            // uWSGI's

// CurrentCore::Wait, of code that runs in no request too.
int WaitFor(const WaitFd& fd, int64_t timeout_ns) {
  CurrentCore* const core = CurrentCore::Get();
  return core != nullptr ? core->Wait({&fd, 1}, timeout_ns) : WaitOnThread({&fd, 1}, timeout_ns);
}

// Begins to connect a non-blocking socket. Invalid: it failed.
UniqueFd BeginConnect(int family, const sockaddr* address, socklen_t address_bytes) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.valid() && connect(fd.get(), address, address_bytes) != 0 && errno != EINPROGRESS) return UniqueFd();
  return fd;
}

UniqueFd BeginConnectUnix(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof address.sun_path) return UniqueFd();
  std::memcpy(address.sun_path, path.data(), path.size());
  const bool is_abstract = path.starts_with('@');
  if (is_abstract) address.sun_path[0] = '\0';
  const size_t size = offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1);
  return BeginConnect(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size));
}

// `name` as uWSGI has it: "host:port", else the path of a unix socket. The first address of the host only. Parks.
UniqueFd BeginConnectTo(const std::string& name) {
  const size_t colon = name.rfind(':');
  if (colon == std::string::npos) return BeginConnectUnix(name);
  std::string host = name.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const char* const node = host.empty() ? nullptr : host.c_str();
  if (getaddrinfo(node, name.c_str() + colon + 1, &hints, &found) != 0) return UniqueFd();
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, &freeaddrinfo);
  return BeginConnect(found->ai_family, found->ai_addr, found->ai_addrlen);
}

UniqueFd BeginConnectWithoutGil(PyObject* name) {
  Py_ssize_t size;
  const char* const text = PyUnicode_AsUTF8AndSize(name, &size);
  if (text == nullptr) return UniqueFd();
  const std::string copy(text, static_cast<size_t>(size));
  UniqueFd fd;
  Py_BEGIN_ALLOW_THREADS fd = BeginConnectTo(copy);
  Py_END_ALLOW_THREADS return fd;
}

bool IsConnectedFd(int fd) {
  int error_number = 0;
  socklen_t size = sizeof error_number;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error_number, &size) == 0 && error_number == 0;
}

// -1 without a Python error where it cannot be made, as in uWSGI.
PyObject* FdOrMinusOne(UniqueFd fd) {
  if (PyErr_Occurred() != nullptr) return nullptr;
  return PyLong_FromLong(fd.valid() ? fd.Release() : -1);
}

PyObject* AsyncConnect(PyObject*, PyObject* name) { return FdOrMinusOne(BeginConnectWithoutGil(name)); }

PyObject* Connect(PyObject*, const Arguments& arguments) {
  PyObject* values[] = {nullptr, nullptr};
  if (!ParseArguments("connect", arguments, {"address", "timeout"}, 1, values)) return nullptr;
  int64_t timeout_ns = kNeverNs;
  if (values[1] != nullptr && !ParseSeconds(values[1], &timeout_ns)) return nullptr;
  UniqueFd fd = BeginConnectWithoutGil(values[0]);
  if (!fd.valid()) return FdOrMinusOne(std::move(fd));
  const int ready =
      WaitFor({.fd = fd.get(), .events = POLLOUT}, timeout_ns != kNeverNs ? timeout_ns : kConnectTimeoutNs);
  if (ready == CurrentCore::kFailed) return nullptr;
  if (ready == CurrentCore::kTimedOut || !IsConnectedFd(fd.get())) fd.Reset();
  if (fd.valid()) fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  return FdOrMinusOne(std::move(fd));
}

PyObject* IsConnected(PyObject*, PyObject* argument) {
  int fd;
  if (!ParseInt(argument, &fd)) return nullptr;
  return PyBool_FromLong(IsConnectedFd(fd));
}

// All of `data`. False: it failed; a Python error is set only for what interrupts the wait. Parks.
bool WriteAll(int fd, const Py_buffer& data) {
  const char* next = static_cast<const char*>(data.buf);
  const char* const end = next + data.len;
  while (next < end) {
    if (WaitFor({.fd = fd, .events = POLLOUT}, kNeverNs) == CurrentCore::kFailed) {
      if (PyErr_ExceptionMatches(PyExc_OSError)) PyErr_Clear();
      return false;
    }
    // What is writable takes a piece at once; more than a page at a time might block.
    ssize_t written;
    int error_number;
    Py_BEGIN_ALLOW_THREADS written = write(fd, next, static_cast<size_t>(std::min<ptrdiff_t>(end - next, 4096)));
    error_number = errno;
    Py_END_ALLOW_THREADS if (written >= 0) { next += written; }
    else if (error_number != EINTR && error_number != EAGAIN) {
      return false;
    }
  }
  return true;
}

PyObject* Send(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  if (count < 1 || count > 2) {
    return PyErr_Format(PyExc_TypeError, "send() takes ([fd,] data), not %zd arguments", count);
  }
  int fd = -1;
  if (count == 2 && !ParseInt(arguments[0], &fd)) return nullptr;
  if (count == 1) {
    UwsgiRequest* const state = UwsgiRequest::OfOrRaise("send");
    if (state == nullptr) return nullptr;
    fd = state->ClientFd(CurrentCore::Get());
  }
  Py_buffer data;
  if (PyObject_GetBuffer(arguments[count - 1], &data, PyBUF_SIMPLE) < 0) return nullptr;
  const bool sent = WriteAll(fd, data);
  PyBuffer_Release(&data);
  if (PyErr_Occurred() != nullptr) return nullptr;
  if (!sent) Py_RETURN_NONE;
  Py_RETURN_TRUE;
}

PyObject* Receive(PyObject*, const Arguments& arguments) {
  PyObject* values[] = {nullptr, nullptr};
  if (!ParseArguments("recv", arguments, {"fd", "max_size"}, 1, values)) return nullptr;
  int fd;
  int size_max = kReceiveBytesMax;
  if (!ParseInt(values[0], &fd) || (values[1] != nullptr && !ParseInt(values[1], &size_max))) return nullptr;
  if (size_max < 0) return PyErr_Format(PyExc_ValueError, "recv() needs a size of 0 or more, not %d", size_max);
  size_max = std::min(size_max, kReceiveBytesMax);
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) Py_RETURN_NONE;
  if ((flags & O_NONBLOCK) == 0 && WaitFor({.fd = fd, .events = POLLIN}, kNeverNs) == CurrentCore::kFailed) {
    return nullptr;
  }
  char buffer[kReceiveBytesMax];
  ssize_t received;
  Py_BEGIN_ALLOW_THREADS received = read(fd, buffer, static_cast<size_t>(size_max));
  Py_END_ALLOW_THREADS if (received > 0) return PyBytes_FromStringAndSize(buffer, received);
  Py_RETURN_NONE;
}

PyObject* Close(PyObject*, PyObject* argument) {
  int fd;
  if (!ParseInt(argument, &fd)) return nullptr;
  Py_BEGIN_ALLOW_THREADS close(fd);
  Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

PyObject* ConnectionFd(PyObject*, PyObject*) {
  UwsgiRequest* const state = UwsgiRequest::OfOrRaise("connection_fd");
  if (state == nullptr) return nullptr;
  const int fd = state->ClientFd(CurrentCore::Get());
  return fd >= 0 ? PyLong_FromLong(fd) : PyErr_SetFromErrno(PyExc_OSError);
}

PyObject* Disconnect(PyObject*, PyObject*) {
  if (UwsgiRequest::OfOrRaise("disconnect") == nullptr) return nullptr;
  CurrentCore::Get()->request()->parts().response->Disconnect();
  Py_RETURN_NONE;
}

PyMethodDef kFunctions[] = {
    {"async_connect", AsyncConnect, METH_O,
     "async_connect($module, address, /)\n--\n\n"
     "Begins to connect to \"host:port\" or a unix socket's path. The descriptor, which is writable when that has "
     "ended; -1: it cannot be."},
    Method<Connect>("connect",
                    "connect($module, address, timeout=0)\n--\n\n"
                    "Connects to \"host:port\" or a unix socket's path, in so many seconds; 0: in 3. The descriptor; "
                    "-1: it cannot be."),
    {"is_connected", IsConnected, METH_O,
     "is_connected($module, fd, /)\n--\n\nWhether no error of this socket is known."},
    {"send", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Send)), METH_FASTCALL,
     "send([fd,] data)\n\nWrites all of it, to the client's connection if no descriptor is given. None: that failed."},
    Method<Receive>("recv",
                    "recv($module, fd, max_size=4096)\n--\n\n"
                    "What one read gives, 4096 bytes at most. None at the end, and when it failed."),
    {"close", Close, METH_O, "close($module, fd, /)\n--\n\nCloses the descriptor."},
    {"connection_fd", ConnectionFd, METH_NOARGS,
     "connection_fd($module)\n--\n\nA descriptor of the client's connection, to wait for; closed after the request."},
    {"disconnect", Disconnect, METH_NOARGS,
     "disconnect($module)\n--\n\nThe response is complete as it is, and the client's connection ends. The request goes "
     "on; what it still gives is dropped."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddSockets(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

}  // namespace greenring::pyhost
