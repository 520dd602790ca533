#include "pyhost/python_stack.h"

#include <frameobject.h>  // PyFrame_GetBack, in CPython 3.10

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "pyhost/py_ref.h"
#include "pyhost/py_text.h"

namespace greenring::pyhost {
namespace {

std::string DescribeFrame(PyFrameObject* frame, int indent) {
  const PyRef code_object(reinterpret_cast<PyObject*>(PyFrame_GetCode(frame)));
  const auto* code = reinterpret_cast<PyCodeObject*>(code_object.get());
  return absl::StrCat(std::string(static_cast<size_t>(indent), ' '), "File \"", ToUtf8(code->co_filename), "\", line ",
                      PyFrame_GetLineNumber(frame), ", in ", ToUtf8(code->co_name), "\n");
}

// A frame object that is made for us may start a collection, and that the application's finalizers.
class ScopedCollectorPause {
 public:
  ScopedCollectorPause() : was_enabled_(PyGC_Disable() != 0) {}
  ~ScopedCollectorPause() {
    if (was_enabled_) PyGC_Enable();
  }
  ScopedCollectorPause(const ScopedCollectorPause&) = delete;
  ScopedCollectorPause& operator=(const ScopedCollectorPause&) = delete;

 private:
  const bool was_enabled_;
};

}  // namespace

PyThreadState* FindThreadState(const green::GreenThread& thread) { return FindThreadState(thread.handle()); }

PyThreadState* FindThreadState(uintptr_t handle) {
  PyThreadState* state = PyInterpreterState_ThreadHead(PyInterpreterState_Main());
  while (state != nullptr && state->thread_id != handle) state = PyThreadState_Next(state);
  return state;
}

std::string FormatPythonStack(PyThreadState* state, int indent, int frames_max) {
  const ScopedCollectorPause pause;
  const PyRef innermost(reinterpret_cast<PyObject*>(PyThreadState_GetFrame(state)));
  return FormatPythonStack(reinterpret_cast<PyFrameObject*>(innermost.get()), indent, frames_max);
}

std::string FormatPythonStack(PyFrameObject* innermost, int indent, int frames_max) {
  const ScopedCollectorPause pause;
  std::vector<std::string> lines;
  PyRef frame = PyRef::Share(reinterpret_cast<PyObject*>(innermost));
  while (frame && lines.size() < static_cast<size_t>(frames_max)) {
    auto* const python_frame = reinterpret_cast<PyFrameObject*>(frame.get());
    lines.push_back(DescribeFrame(python_frame, indent));
    frame.reset(reinterpret_cast<PyObject*>(PyFrame_GetBack(python_frame)));
  }
  if (frame) lines.push_back(absl::StrCat(std::string(static_cast<size_t>(indent), ' '), "...\n"));
  std::reverse(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

}  // namespace greenring::pyhost
