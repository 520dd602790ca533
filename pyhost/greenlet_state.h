// The greenlet library's idea of "this thread", for each green thread its own.
//
// greenlet keeps which greenlet runs in a C++ thread_local: 16 bytes that belong to the OS thread, so all green threads
// of a worker would share them, and one would jump to another's stack. Here those bytes are put aside at each switch,
// as the thread state of CPython is. With that gevent, SQLAlchemy's asyncio and everything else that is built on
// greenlets works in any number of green threads: to greenlet too they are threads, each with a main greenlet and, in
// gevent, a hub of its own.
//
//   GreenletState::Watch();                  // before the application is imported: an import of greenlet is noticed
//   GreenletState::Save();                   // at each switch-out, and by the main thread before the scheduler runs
//   GreenletState::Load();                   // at each switch-in
//
// Costs nothing until greenlet is imported. What is put aside is the whole thread-local block of the extension module
// greenlet._greenlet, found among the loaded libraries: this needs no knowledge of what is in there. Linking this
// defines __cxa_thread_atexit in the program, so that the block's destructors run at the end of a green thread.
// Scheduler's thread only.
#pragma once

#include <cstddef>

extern "C" {
typedef struct _object PyObject;
}

namespace greenring::pyhost {

class GreenletState {
 public:
  GreenletState() = delete;

  // From here on an import of greenlet is noticed. GIL held; once in the process.
  static void Watch();

  // The current green thread, or the main thread, is about to be switched out. Never parks.
  static void Save() {
    if (imported_) SaveBlock();
  }

  // The current green thread was switched in, or the main thread goes on after the scheduler has run. Never parks.
  static void Load() {
    if (block_ != nullptr) LoadBlock();
  }

 private:
  static int OnAudit(const char* event, PyObject* arguments, void* data);
  static bool FindBlock();
  static void SaveBlock();
  static void LoadBlock();

  static inline constinit bool imported_ = false;
  static inline constinit std::byte* block_ = nullptr;  // this OS thread's, once it has been touched
};

}  // namespace greenring::pyhost
