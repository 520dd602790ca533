// pthread keys with a value per green thread.
//
//   pthread_key_t key;
//   pthread_key_create(&key, &free);
//   pthread_setspecific(key, value);          // on a green thread: seen by this green thread only
//
// Linking this target defines pthread_key_create, pthread_key_delete, pthread_getspecific and pthread_setspecific in
// the program. The dynamic linker resolves the program's symbols first, so every shared library calls these too:
// CPython 3.11 keeps the state that PyGILState_Ensure finds in such a key, OpenSSL its error queue. On no green thread
// they are the C library's own. What the C library itself does inside (tss_get, its own destructors) stays per OS
// thread.
//
// Keys that were created before the program's static initialisation belong to runtimes that mean the OS thread
// (sanitizers) and are left alone. A library that pairs a thread_local with a key, to have its destructor called at the
// end of the thread, will see that call at the end of the green thread that set the key.
//
// Storage is allocated when a green thread sets its first key: 24 bytes for each key that it sets, room for three at
// first. The four functions are thread-safe and never park.
#pragma once

namespace greenring::green {

class GreenThread;

class ThreadKeys {
 public:
  ThreadKeys() = delete;

  // Runs the destructors of `thread`'s values, as pthreads would at the end of a thread (at most
  // PTHREAD_DESTRUCTOR_ITERATIONS rounds), and frees the storage. On `thread`, about to end. Parks if a destructor
  // does.
  static void EndThread(GreenThread* thread) {
    if (HasValues(thread)) DestroyValues(thread);
  }

  // What the pthread functions do on a green thread.
  static void* Get(GreenThread* thread, unsigned int key);
  static int Set(GreenThread* thread, unsigned int key, const void* value);

 private:
  static bool HasValues(const GreenThread* thread);
  static void DestroyValues(GreenThread* thread);
};

}  // namespace greenring::green
