// Threads of two kinds under one set of names: what pthread_create makes here, and whose handle pthread_self gives.
//
//   StartCapture capture;
//   ... have a runtime start a thread ...                     // an OS thread, as ever
//   SetGreenStarts(capture.kind());                           // from here on the runtime's threads of that kind are
//   green
//
// Handles. A green thread's pthread_t has bit 0 set, which no OS thread's has; so every function that takes one knows
// what it is given without looking it up. The green thread that passes for the OS thread (green::SpawnOptions) has the
// OS thread's. Of an ended green thread most functions say ESRCH until its place is taken by another one.
//
// Started threads. pthread_create of a thread of the kind of SetGreenStarts, on an OS thread whose loop is intercepted,
// makes a green thread there. It can be joined by both kinds of thread, be detached, and end by pthread_exit, whose
// unwinding is the C library's: destructors run, catch (...) has to rethrow, C's pthread_cleanup_push handlers run
// where C is compiled with -fexceptions. The stack size and everything else of its attributes but the detach state is
// ignored: it has a green thread's stack.
//
// Other green threads (those of Scheduler::Spawn) cannot be joined or detached (EINVAL), and pthread_exit parks them
// for good: they are places of a pool, whose owner counts on them. pthread_cancel of a green thread is ENOTSUP: there
// are no cancellation points. pthread_setname_np of one is checked and forgotten. Signals, processor affinity, clocks
// and priorities of a green thread are those of the OS thread that it runs on.
//
// In the child of fork the caller keeps its handle, and its end as a started thread is the end of the process. Others
// are not there: a join of one that had not ended is ESRCH.
#pragma once

namespace greenring::posix {

using StartRoutine = void* (*)(void*);

// What a thread begins with: a start routine; and, if `first_word` is not nullptr, what its argument begins with.
// CPython's threads all have the same start routine, whose argument is a record that begins with what they really do.
struct StartKind {
  StartRoutine start_routine = nullptr;
  const void* first_word = nullptr;
};

// Which threads are to be green; no start routine: none (so it is at first). Before they are started. Never parks.
void SetGreenStarts(const StartKind& kind);

// Notes what pthread_create is called with on this OS thread, for the object's life; one at a time on a thread.
class StartCapture {
 public:
  StartCapture();
  ~StartCapture();
  StartCapture(const StartCapture&) = delete;
  StartCapture& operator=(const StartCapture&) = delete;

  // Of the last thread created.
  const StartKind& kind() const { return kind_; }

  // pthread_create's side.
  static void Note(StartRoutine start_routine, const void* argument);

 private:
  static thread_local StartCapture* current_;

  StartKind kind_;
};

}  // namespace greenring::posix
