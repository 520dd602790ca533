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

#include <cstddef>
#include <cstdint>
#include <string>

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

// The rest of the current chunk of a chunked body, or the next one, appended to `chunk` as it comes: OK when that is
// complete, or has kChunkBytesMax bytes, and at the end of the body, where it stays as it is. A body without chunks
// gives what arrives. DEADLINE_EXCEEDED after `timeout_ns` (kNeverNs: no limit, 0: does not wait): to be gone on with.
// Another error, or FAILED_PRECONDITION with a Python error: `body` must not be read here and now. Parks.
absl::Status ReadBodyChunk(PyObject* body, int64_t timeout_ns, std::string* chunk);
inline constexpr size_t kChunkBytesMax = 1024 * 1024;

// The first failure of Exchange::ReadBody since it was attached, apart from cancellations: the body can be read on.
absl::Status RequestBodyStatus(PyObject* body);

}  // namespace greenring::pyhost
