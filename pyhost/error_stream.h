// wsgi.errors: a text stream to the error log, with write, writelines and flush.
//
//   PyRef errors = NewErrorStream(&error_log);
//   PyDict_SetItemString(environ, "wsgi.errors", errors.get());
//   CloseErrorStream(errors.get());                  // the application may have kept it: writes are dropped from now
//   on
//
// GIL held; Python code may use the stream on any OS thread. Never parks.
#pragma once

#include "pyhost/error_log.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {

// `log` must live until CloseErrorStream. Null with MemoryError.
PyRef NewErrorStream(ErrorLog* log);

void CloseErrorStream(PyObject* stream);

}  // namespace greenring::pyhost
