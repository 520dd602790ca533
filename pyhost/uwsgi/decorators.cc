// The Python module `uwsgidecorators`, whose decorators are made of the module `uwsgi`.
#include "pyhost/py_ref.h"
#include "pyhost/uwsgi/parts.h"

namespace greenring::pyhost {
namespace {

constexpr char kSource[] = R"python(
import functools
import threading

import uwsgi

if uwsgi.masterpid() == 0:
    raise Exception("uwsgidecorators needs the master: start the server without --master=off")

_counts = {}
_postfork = []


def _signal_named(name):
    # One name may stand for several, each worker meeting them in the same order.
    _counts[name] = number = _counts.get(name, 0) + 1
    return uwsgi._signal_for("%s #%d" % (name, number))


def get_free_signal():
    return _signal_named("get_free_signal")


def _signal_of(function):
    return _signal_named("%s:%s" % (getattr(function, "__module__", ""),
                                    getattr(function, "__qualname__", type(function).__qualname__)))


class _OnSignal:
    """A decorator: registers the function as a signal's handler, and adds what sends the signal."""

    def __init__(self, *arguments, signum=None, target=""):
        self.arguments = arguments
        self.signum = signum
        self.target = target

    def __call__(self, function):
        number = _signal_of(function) if self.signum is None else self.signum
        uwsgi.register_signal(number, self.target, function)
        self.add(number, *self.arguments)
        return function


class timer(_OnSignal):
    """@timer(seconds)"""
    add = staticmethod(uwsgi.add_timer)


class mstimer(_OnSignal):
    """@mstimer(milliseconds)"""
    add = staticmethod(uwsgi.add_ms_timer)


class rbtimer(_OnSignal):
    """@rbtimer(seconds, iterations=0)"""
    add = staticmethod(uwsgi.add_rb_timer)

    def __init__(self, seconds, iterations=0, **options):
        super().__init__(seconds, iterations, **options)


class cron(_OnSignal):
    """@cron(minute, hour, day, month, weekday)"""
    add = staticmethod(uwsgi.add_cron)


class filemon(_OnSignal):
    """@filemon(path)"""
    add = staticmethod(uwsgi.add_file_monitor)


class signal:
    """@signal(number)"""

    def __init__(self, num, target=""):
        self.num = num
        self.target = target

    def __call__(self, function):
        uwsgi.register_signal(self.num, self.target, function)
        return function


def _run_postfork():
    for function in _postfork:
        function()


def postfork(function):
    """@postfork: called in each worker when the application is there."""
    if uwsgi.ready():
        raise RuntimeError("@postfork is for what is imported with the application")
    _postfork.append(function)
    uwsgi.post_fork_hook = _run_postfork
    return function


def lock(function):
    """@lock: one call at a time in all workers of the pool."""

    @functools.wraps(function)
    def locked(*arguments, **keywords):
        uwsgi.lock()
        try:
            return function(*arguments, **keywords)
        finally:
            uwsgi.unlock()

    return locked


def thread(function):
    """@thread: each call runs in a thread of its own, which is returned."""

    @functools.wraps(function)
    def started(*arguments, **keywords):
        made = threading.Thread(target=function, args=arguments, kwargs=keywords, daemon=True)
        made.start()
        return made

    return started


class harakiri:
    """@harakiri(seconds): a request that is in the function for longer is ended."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, function):
        @functools.wraps(function)
        def limited(*arguments, **keywords):
            uwsgi.set_user_harakiri(self.seconds)
            try:
                return function(*arguments, **keywords)
            finally:
                uwsgi.set_user_harakiri(0)

        return limited


def _absent(name, instead):
    def used(*arguments, **keywords):
        raise NotImplementedError("uwsgidecorators.%s is not there; %s" % (name, instead))

    used.__name__ = used.__qualname__ = name
    return used


for _name in ("spool", "spoolraw", "spoolforever", "manage_spool_request"):
    globals()[_name] = _absent(
        _name, "use greenring.go() for work after the response, or a queue with workers of its own")
for _name in ("mule", "mulefunc", "muleloop", "mulemsg", "mule_brain", "mulemsg_loop", "farm", "farm_loop", "farm_msg"):
    globals()[_name] = _absent(_name, "use greenring.go(), or a pool of its own for background work")
globals()["rpc"] = _absent("rpc", "use HTTP between pools, or a message broker")
globals()["erlang"] = _absent("erlang", "use a message broker")
del _name
)python";

PyModuleDef kModule = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "uwsgidecorators",
    .m_doc = "Decorators that are made of the module uwsgi.",
    .m_size = -1,
    .m_methods = nullptr,
    .m_slots = nullptr,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

}  // namespace

PyObject* NewDecorators() {
  PyRef module(PyModule_Create(&kModule));
  const PyRef code(module ? Py_CompileString(kSource, "<uwsgidecorators>", Py_file_input) : nullptr);
  if (!code) return nullptr;
  PyObject* const names = PyModule_GetDict(module.get());
  if (PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) < 0) return nullptr;
  const PyRef done(PyEval_EvalCode(code.get(), names, names));
  return done ? module.release() : nullptr;
}

}  // namespace greenring::pyhost
