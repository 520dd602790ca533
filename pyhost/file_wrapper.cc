#include "pyhost/file_wrapper.h"

#include <structmember.h>
#include <sys/stat.h>

#include <cstddef>

#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

constexpr Py_ssize_t kDefaultBlockBytes = 8192;

struct FileWrapper {
  PyObject_HEAD PyObject* file;
  Py_ssize_t block_bytes;
};

FileWrapper* Cast(PyObject* self) { return reinterpret_cast<FileWrapper*>(self); }

int Initialize(PyObject* self, PyObject* arguments, PyObject* keywords) {
  static const char* kNames[] = {"filelike", "blksize", nullptr};
  PyObject* file;
  Py_ssize_t block_bytes = kDefaultBlockBytes;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|n:FileWrapper", const_cast<char**>(kNames), &file,
                                   &block_bytes)) {
    return -1;
  }
  Cast(self)->block_bytes = block_bytes;
  Py_XSETREF(Cast(self)->file, Py_NewRef(file));
  return 0;
}

PyObject* Next(PyObject* self) {
  if (Cast(self)->file == nullptr) return nullptr;
  PyRef block(PyObject_CallMethod(Cast(self)->file, "read", "n", Cast(self)->block_bytes));
  const int more = block ? PyObject_IsTrue(block.get()) : -1;
  return more > 0 ? block.release() : nullptr;  // null without an error: StopIteration
}

PyObject* Close(PyObject* self, PyObject*) {
  PyObject* file = Cast(self)->file;
  if (file == nullptr) Py_RETURN_NONE;
  const PyRef close(PyObject_GetAttrString(file, "close"));
  if (close) return PyObject_CallNoArgs(close.get());
  if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return nullptr;
  PyErr_Clear();
  Py_RETURN_NONE;
}

int Traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(Cast(self)->file);
  return 0;
}

int Clear(PyObject* self) {
  Py_CLEAR(Cast(self)->file);
  return 0;
}

void Deallocate(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef kMethods[] = {
    {"close", Close, METH_NOARGS, "Closes the file, if it can be closed."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef kMembers[] = {
    {"filelike", T_OBJECT, offsetof(FileWrapper, file), READONLY, nullptr},
    {"blksize", T_PYSSIZET, offsetof(FileWrapper, block_bytes), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_init, reinterpret_cast<void*>(Initialize)},
    {Py_tp_dealloc, reinterpret_cast<void*>(Deallocate)},
    {Py_tp_traverse, reinterpret_cast<void*>(Traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(Clear)},
    {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
    {Py_tp_iternext, reinterpret_cast<void*>(Next)},
    {Py_tp_methods, kMethods},
    {Py_tp_members, kMembers},
    {0, nullptr},
};

PyType_Spec kSpec = {"greenring.FileWrapper", sizeof(FileWrapper), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, kSlots};

// `object` is of the class io.`name`, or of one derived from it that reads as it does.
bool ReadsAs(PyObject* object, const char* name) {
  const PyRef io(PyImport_ImportModule("io"));
  const PyRef base(io ? PyObject_GetAttrString(io.get(), name) : nullptr);
  if (!base || PyObject_IsInstance(object, base.get()) != 1) return false;
  const PyRef base_read(PyObject_GetAttrString(base.get(), "read"));
  const PyRef read(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(object)), "read"));
  return read && read.get() == base_read.get();
}

bool ReadsRawBytes(PyObject* file) {
  if (ReadsAs(file, "FileIO")) return true;
  if (!ReadsAs(file, "BufferedReader") && !ReadsAs(file, "BufferedRandom")) return false;
  const PyRef raw(PyObject_GetAttrString(file, "raw"));
  return raw && ReadsAs(raw.get(), "FileIO");
}

bool FindRange(PyObject* file, FileRange* range) {
  if (!ReadsRawBytes(file)) return false;
  range->fd = PyObject_AsFileDescriptor(file);
  struct stat status;
  if (range->fd < 0 || ::fstat(range->fd, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  const PyRef position(PyObject_CallMethod(file, "tell", nullptr));  // a buffered reader is ahead of its position
  range->offset = position ? PyLong_AsLongLong(position.get()) : -1;
  range->size_bytes = status.st_size - range->offset;
  return range->offset >= 0 && range->size_bytes > 0;  // files of /proc say 0: those are read
}

}  // namespace

PyRef NewFileWrapperType() { return PyRef(PyType_FromSpec(&kSpec)); }

bool FileRangeOf(PyObject* result, PyObject* type, FileRange* range) {
  if (reinterpret_cast<PyObject*>(Py_TYPE(result)) != type || Cast(result)->file == nullptr) return false;
  const bool found = FindRange(Cast(result)->file, range);
  PyErr_Clear();
  return found;
}

}  // namespace greenring::pyhost
