// wsgi.input: the request's body as a binary stream, read from the Exchange as the application asks for it.
//
//   PyRef type = NewRequestBodyType();
//   PyRef input = NewRequestBody(type.get());
//   AttachRequestBody(input.get(), exchange, head);       // read, readline, readlines, readinto, iteration
//   DetachRequestBody(input.get());                       // any later use raises ValueError
//
// A slow client parks the green thread that reads, nothing else. The object is reused for the next request when the
// application has not kept it. Only the green thread that handles the request may read; another Python thread gets a
// RuntimeError. GIL held.
#pragma once

#include "absl/status/status.h"
#include "pyhost/exchange.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {

// Null with a Python error.
PyRef NewRequestBodyType();

// A detached one. Null with MemoryError.
PyRef NewRequestBody(PyObject* type);

// On the green thread that handles the request. Never parks.
void AttachRequestBody(PyObject* body, Exchange* exchange, const protocol::RequestHead& head);
void DetachRequestBody(PyObject* body);

// The first failure of Exchange::ReadBody since it was attached, apart from cancellations: the body can be read on.
absl::Status RequestBodyStatus(PyObject* body);

}  // namespace greenring::pyhost
