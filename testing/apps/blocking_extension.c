/* A C extension that does what the server cannot answer: test_audit.py builds it as the module `blocking`. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Not seen by the server: the number goes straight to the kernel. */
__attribute__((noinline)) void blocking_sleep_raw(double seconds) {
  struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  syscall(SYS_nanosleep, &left, NULL);
}

__attribute__((noinline)) void blocking_compute(double seconds) {
  const double end = now_s() + seconds;
  volatile double x = 1;
  do {
    for (int i = 0; i < 10000; ++i) x = x * 1.0000001 + 1e-9;
  } while (now_s() < end);
}

static PyObject* call(PyObject* args, void (*function)(double), int release) {
  double seconds;
  if (!PyArg_ParseTuple(args, "d", &seconds)) return NULL;
  if (release) {
    Py_BEGIN_ALLOW_THREADS
    function(seconds);
    Py_END_ALLOW_THREADS
  } else {
    function(seconds);
  }
  Py_RETURN_NONE;
}

static PyObject* sleep_with(PyObject* self, PyObject* args) { return call(args, &blocking_sleep_raw, 0); }
static PyObject* sleep_without(PyObject* self, PyObject* args) { return call(args, &blocking_sleep_raw, 1); }
static PyObject* compute_with(PyObject* self, PyObject* args) { return call(args, &blocking_compute, 0); }
static PyObject* compute_without(PyObject* self, PyObject* args) { return call(args, &blocking_compute, 1); }

static PyMethodDef functions[] = {
    {"sleep_with_gil", sleep_with, METH_VARARGS, NULL},
    {"sleep_without_gil", sleep_without, METH_VARARGS, NULL},
    {"compute_with_gil", compute_with, METH_VARARGS, NULL},
    {"compute_without_gil", compute_without, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "blocking", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_blocking(void) { return PyModule_Create(&module); }
