// What the module tells of the worker and its master, and asks of them: worker_id, workers, reload, log and the like.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "pyhost/current_core.h"
#include "pyhost/module/arguments.h"
#include "pyhost/py_ref.h"
#include "pyhost/py_text.h"
#include "pyhost/uwsgi/arguments.h"
#include "pyhost/uwsgi/parts.h"

namespace greenring::pyhost {
namespace {

PyObject* WorkerId(PyObject*, PyObject*) { return PyLong_FromLong(Host()->worker_id()); }
PyObject* MasterPid(PyObject*, PyObject*) { return PyLong_FromLong(Host()->master_pid()); }
PyObject* MuleId(PyObject*, PyObject*) { return PyLong_FromLong(0); }
PyObject* IAmTheSpooler(PyObject*, PyObject*) { Py_RETURN_NONE; }

PyObject* Micros(PyObject*, PyObject*) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return PyLong_FromLongLong(now.tv_sec * 1'000'000 + now.tv_nsec / 1000);
}

PyObject* Ready(PyObject*, PyObject*) {
  if (IsReady()) Py_RETURN_TRUE;
  Py_RETURN_NONE;
}

struct Memory {
  int64_t rss_bytes = 0;
  int64_t vsz_bytes = 0;
};

Memory OwnMemory() {
  const UniqueFd fd(open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  char text[128] = {};
  long long vsz_pages = 0, rss_pages = 0;
  if (!fd.valid() || read(fd.get(), text, sizeof text - 1) <= 0 ||
      std::sscanf(text, "%lld %lld", &vsz_pages, &rss_pages) != 2) {
    return {};
  }
  const int64_t page_bytes = sysconf(_SC_PAGESIZE);
  return {.rss_bytes = rss_pages * page_bytes, .vsz_bytes = vsz_pages * page_bytes};
}

PyObject* Mem(PyObject*, PyObject*) {
  const Memory memory = OwnMemory();
  return Py_BuildValue("(LL)", static_cast<long long>(memory.rss_bytes), static_cast<long long>(memory.vsz_bytes));
}

// What this worker knows better than the master, whom it tells now and then.
void DescribeOwn(UwsgiWorker* own) {
  const Memory memory = OwnMemory();
  own->id = Host()->worker_id();
  own->pid = getpid();
  own->requests = std::max(own->requests, Host()->request_count());
  own->busy = own->busy || CurrentCore::Get() != nullptr;
  own->rss_bytes = memory.rss_bytes;
  own->vsz_bytes = memory.vsz_bytes;
}

// Where there is no master this worker is all there is.
std::vector<UwsgiWorker> AllWorkers() {
  absl::StatusOr<std::vector<UwsgiWorker>> asked = Host()->Workers();
  std::vector<UwsgiWorker> workers =
      asked.ok() ? *std::move(asked) : std::vector<UwsgiWorker>{UwsgiWorker{.pid = getpid()}};
  for (UwsgiWorker& worker : workers) {
    if (worker.pid == getpid()) DescribeOwn(&worker);
  }
  return workers;
}

PyObject* NewWorkerDict(const UwsgiWorker& worker) {
  const auto integer = [](int64_t value) { return static_cast<long long>(value); };
  return Py_BuildValue("{s:i,s:i,s:L,s:L,s:L,s:L,s:y,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:()}", "id", worker.id, "pid",
                       worker.pid, "requests", integer(worker.requests), "delta_requests", integer(worker.requests),
                       "signals", integer(worker.signals), "exceptions", integer(worker.exceptions), "status",
                       worker.busy ? "busy" : "idle", "rss", integer(worker.rss_bytes), "vsz",
                       integer(worker.vsz_bytes), "running_time", integer(worker.running_time_us), "last_spawn",
                       integer(worker.last_spawn_s), "respawn_count", integer(worker.respawn_count), "tx",
                       integer(worker.tx_bytes), "avg_rt", integer(worker.avg_rt_us), "apps");
}

PyObject* Workers(PyObject*, PyObject*) {
  const std::vector<UwsgiWorker> workers = AllWorkers();
  PyRef tuple(PyTuple_New(static_cast<Py_ssize_t>(workers.size())));
  if (!tuple) return nullptr;
  for (size_t i = 0; i < workers.size(); ++i) {
    PyObject* const dict = NewWorkerDict(workers[i]);
    if (dict == nullptr) return nullptr;
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), dict);
  }
  return tuple.release();
}

PyObject* TotalRequests(PyObject*, PyObject*) {
  int64_t total = 0;
  for (const UwsgiWorker& worker : AllWorkers()) total += worker.requests;
  return PyLong_FromLongLong(total);
}

// True, or None when there is nobody to ask, as in uWSGI; the log says why.
PyObject* Ask(const char* function, const absl::Status& asked) {
  if (PyErr_Occurred() != nullptr) return nullptr;  // the wait for the answer was interrupted
  if (asked.ok()) Py_RETURN_TRUE;
  Host()->Log(absl::StrCat("uwsgi.", function, "(): ", std::string(asked.message())));
  Py_RETURN_NONE;
}

PyObject* Reload(PyObject*, PyObject*) { return Ask("reload", Host()->Reload()); }
PyObject* Stop(PyObject*, PyObject*) { return Ask("stop", Host()->Stop()); }

// str, or bytes of any encoding: it is only shown. False with a TypeError.
bool ParseMessage(PyObject* object, std::string* text) {
  if (PyBytes_Check(object)) {
    text->assign(PyBytes_AS_STRING(object), static_cast<size_t>(PyBytes_GET_SIZE(object)));
    return true;
  }
  if (!PyUnicode_Check(object)) {
    PyErr_Format(PyExc_TypeError, "needs str or bytes, not %.100s", Py_TYPE(object)->tp_name);
    return false;
  }
  *text = ToUtf8(object);
  return true;
}

PyObject* Log(PyObject*, PyObject* line) {
  std::string text;
  if (!ParseMessage(line, &text)) return nullptr;
  Host()->Log(text);
  Py_RETURN_TRUE;
}

PyObject* Alarm(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  std::string name, message;
  if (count != 2) return PyErr_Format(PyExc_TypeError, "alarm() takes (name, message), not %zd arguments", count);
  if (!ParseMessage(arguments[0], &name) || !ParseMessage(arguments[1], &message)) return nullptr;
  Host()->Log(absl::StrCat("alarm ", name, ": ", message));
  Py_RETURN_NONE;
}

PyObject* SetProcname(PyObject*, PyObject* name) {
  std::string text;
  if (!ParseMessage(name, &text)) return nullptr;
  const UniqueFd fd(open("/proc/self/comm", O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || write(fd.get(), text.data(), text.size()) < 0) return PyErr_SetFromErrno(PyExc_OSError);
  Py_RETURN_NONE;
}

// The master knows by itself which worker accepts.
PyObject* Accepting(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  if (count > 1) return PyErr_Format(PyExc_TypeError, "accepting() takes at most one argument, not %zd", count);
  if (count == 1 && PyObject_IsTrue(arguments[0]) < 0) return nullptr;
  Py_RETURN_NONE;
}

PyObject* ListenQueue(PyObject*, const Arguments& arguments) {
  PyObject* value = nullptr;
  int number = 0;
  if (!ParseArguments("listen_queue", arguments, {"socket"}, 0, &value)) return nullptr;
  if (value != nullptr && !ParseInt(value, &number)) return nullptr;
  const std::vector<int>& sockets = Options().sockets;
  if (number < 0 || static_cast<size_t>(number) >= sockets.size()) {
    return PyErr_Format(PyExc_ValueError, "unable to find socket %d", number);
  }
  tcp_info info = {};
  socklen_t size = sizeof info;
  const bool told = getsockopt(sockets[static_cast<size_t>(number)], IPPROTO_TCP, TCP_INFO, &info, &size) == 0;
  return PyLong_FromLong(told ? static_cast<long>(info.tcpi_unacked) : 0);  // of a unix socket nobody tells
}

PyMethodDef kFunctions[] = {
    {"worker_id", WorkerId, METH_NOARGS, "worker_id($module)\n--\n\nOf this worker, from 1."},
    {"masterpid", MasterPid, METH_NOARGS, "masterpid($module)\n--\n\nOf the master; 0 without one."},
    {"mule_id", MuleId, METH_NOARGS, "mule_id($module)\n--\n\n0: there are no mules."},
    {"i_am_the_spooler", IAmTheSpooler, METH_NOARGS, "i_am_the_spooler($module)\n--\n\nNone: there is no spooler."},
    {"micros", Micros, METH_NOARGS, "micros($module)\n--\n\nMicroseconds since 1970."},
    {"ready", Ready, METH_NOARGS, "ready($module)\n--\n\nTrue; None while the application is imported."},
    {"mem", Mem, METH_NOARGS, "mem($module)\n--\n\nThis worker's memory in bytes: resident, and address space."},
    {"workers", Workers, METH_NOARGS, "workers($module)\n--\n\nA dictionary for each worker of the pool."},
    {"total_requests", TotalRequests, METH_NOARGS, "total_requests($module)\n--\n\nOf all workers of the pool."},
    {"reload", Reload, METH_NOARGS,
     "reload($module)\n--\n\nHas the master replace the pool's workers. None: there is no master."},
    {"stop", Stop, METH_NOARGS, "stop($module)\n--\n\nHas the master end the server. None: there is no master."},
    {"log", Log, METH_O, "log($module, line, /)\n--\n\nWrites a line to the error log."},
    {"alarm", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Alarm)), METH_FASTCALL,
     "alarm($module, name, message, /)\n--\n\nWrites both to the error log."},
    {"setprocname", SetProcname, METH_O, "setprocname($module, name, /)\n--\n\nWhat ps and top call this worker."},
    {"accepting", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Accepting)), METH_FASTCALL,
     "accepting([accepting])\n\nNothing to do: the master knows which worker accepts."},
    Method<ListenQueue>("listen_queue",
                        "listen_queue($module, socket=0)\n--\n\nHow many connections wait to be accepted."),
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddProcess(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

}  // namespace greenring::pyhost
