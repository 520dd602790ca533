// wsgi.file_wrapper: FileWrapper(filelike, blksize=8192), iterable in blocks, closed with its file.
//
//   PyRef type = NewFileWrapperType();                       // environ["wsgi.file_wrapper"]
//   FileRange range;
//   if (FileRangeOf(result, type.get(), &range)) exchange->SendFile(range.fd, range.offset, range.size_bytes);
//
// GIL held. Calls methods of the file object, which may park.
#pragma once

#include <cstdint>

#include "pyhost/py_ref.h"

namespace greenring::pyhost {

// A part of a regular file.
struct FileRange {
  int fd = -1;
  int64_t offset = 0;
  int64_t size_bytes = 0;  // > 0
};

// Null with a Python error.
PyRef NewFileWrapperType();

// Whether `result` is a FileWrapper whose blocks would be exactly the bytes of a regular file from the file object's
// position to its end: an io.FileIO, or a buffered reader over one, neither with a read() of its own. Objects that
// merely have a fileno() may decode what they read (gzip), so they are iterated. Sets no Python error.
bool FileRangeOf(PyObject* result, PyObject* type, FileRange* range);

}  // namespace greenring::pyhost
