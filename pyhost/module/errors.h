// The exceptions that functions of the module raise, beside those of pyhost/interrupt_errors.h. GIL held.
#pragma once

#include "pyhost/python.h"

namespace greenring::pyhost {

// ChannelClosed; its attribute `channel` tells which.
void RaiseChannelClosed(PyObject* channel, const char* what);

// ResultCancelled: `exception`, its cause, is what the function of `handle` was interrupted with.
void RaiseResultCancelled(PyObject* handle, PyObject* exception);

}  // namespace greenring::pyhost
