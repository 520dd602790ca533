#include "pyhost/stack_signal.h"

#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

bool RegisterStackSignal(int signal_number, int fd) {
  const PyRef module(PyImport_ImportModule("faulthandler"));
  constexpr int kAllThreads = 0;
  const PyRef registered(module ? PyObject_CallMethod(module.get(), "register", "iii", signal_number, fd, kAllThreads)
                                : nullptr);
  PyErr_Clear();
  return registered ? true : false;
}

}  // namespace greenring::pyhost
