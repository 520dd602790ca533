// A hub: one green thread that the greenlets of many cores share, and what switches between them. Engines `greenlet`
// and `gevent`.
//
//   std::unique_ptr<Hub> hub = NewGeventHub(&scheduler, 8 << 20, &error_log);
//   hub->Start();                                     // its green thread begins
//   CoreGreenlet place(hub.get());                    // of each core (core_greenlet.h): has greenlets run there
//   ...
//   hub->Stop([&] { scheduler.Stop(); });             // no core is left; what its greenlets do in the background ends
//
//   cores' green threads          the hub's green thread, one Python thread state
//   request 1: Run ── due ──┐     hub ── switch ──> greenlet of request 1
//   request 2: Run ── due ──┴──>      <── switch ── waits: OnLoop, gevent.sleep, ...
//              <── a call ───────     ── switch ──> greenlet of request 2
//
// Greenlets belong to a thread state, so all of a worker's live on this one green thread. What is on a greenlet's C
// stack is copied away while another one runs: nobody else may be given a pointer to it. That is why a core has its
// state in a CoreGreenlet, on its own green thread's stack, which is never copied.
//
// Scheduler's thread only. GIL held where a function says so.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/intrusive_list.h"
#include "green/scheduler.h"
#include "pyhost/error_log.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {

class CoreGreenlet;
class HubWait;

class Hub {
 public:
  // Something to be done on the hub's green thread.
  class Due : public ListLink {
   public:
    // On the hub's greenlet, GIL held.
    virtual void OnDue() = 0;

    // The hub could not start: there is nobody who would do it.
    virtual void OnHubBroken() {}

    // The hub is lost (below): nobody will do it. In the context of who has asked for it.
    virtual void OnHubLost() {}

   protected:
    ~Due() = default;
  };

  virtual ~Hub();  // its green thread has ended, or never runs again
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // That of the current green thread; nullptr: it has none. Never parks.
  static Hub* Current();

  // Spawns its green thread. Never parks.
  void Start();

  // No core uses it any more, and none will: `on_ended` is called when what runs in the background has ended. Never
  // parks.
  void Stop(std::function<void()> on_ended);

  // GreenletExit for what still runs in the background. Never parks.
  void EndGreenlets();

  // Has `function`, which takes nothing and never raises, called in a greenlet of its own, which is no request's. False
  // with a Python error: the hub has ended. GIL held; any green thread. Never parks.
  bool Spawn(PyObject* function);

  bool ended() const { return ended_; }
  // Its green thread's stack overflowed and was abandoned: its greenlets never run again, and Run of each core has
  // ended, or ends at once. All that Python has of it stays as it is.
  bool lost() const { return lost_; }
  // For dumps.
  const char* name() const { return name_; }
  green::GreenThread* thread() const { return thread_; }
  green::Scheduler* scheduler() const { return scheduler_; }

  // Whose greenlet runs, or was left in the middle of a call that blocks the hub; nullptr: nobody's. Never parks.
  CoreGreenlet* current_core() const { return current_; }

  // What the greenlets of current_core() used of the hub's time since they were switched in, in the scheduler's ticks.
  uint64_t current_run_ticks() const { return NowTicks() - switched_at_ticks_; }

  // ---- for greenlets that are no request's ----

  // It knows of them: the following let the others run. Both on the hub's green thread, GIL held.
  virtual bool schedules_greenlets() const { return false; }
  // False with a Python error.
  virtual bool Yield() { return true; }
  // As poll(2), until `deadline_ns` of the monotonic clock. Negative with a Python error.
  virtual int Poll(std::span<pollfd>, int64_t /*deadline_ns*/) { return 0; }

  // ---- for CoreGreenlet and HubWait ----

  // Its OnDue is called on the hub. No effect if it is due already. With or without the GIL. Never parks.
  void MakeDue(Due* due);

  // The same from any OS thread, GIL held; of a `due` that MakeDue is not given. No effect if the hub is lost.
  void MakeDueRemotely(Due* due);

  // The following have the GIL held, on the hub's green thread.

  // The hub does not end before these have.
  void AddWait(HubWait* wait);
  void RemoveWait(HubWait* wait);

  // A greenlet that calls `run`; it belongs to `core` until it has ended. Null with a Python error.
  PyRef NewGreenlet(CoreGreenlet* core, PyObject* run, const std::string& name);

  // From a greenlet: the others run until somebody switches back. False with the Python error that was thrown into it.
  bool SwitchToHub();

  // What was thrown into the current greenlet is raised by RaisePending, unless it waits again before.
  void KeepThrown(PyRef exception) { thrown_ = std::move(exception); }

  // That, or what is posted for current_core(), becomes the Python error of the caller. False: there is none.
  bool RaisePending();

  // From the hub: until it comes back. `exception` is raised in `greenlet` instead, if it is not null.
  void SwitchTo(PyObject* greenlet, PyObject* exception);

  // The greenlet that runs; never null.
  PyRef CurrentGreenlet() const;

  bool IsHubGreenlet(PyObject* greenlet) const { return greenlet == hub_greenlet(); }

  // Lets a new greenlet begin.
  virtual void Begin(PyObject* greenlet) = 0;

  // The Python error, where nobody can be told: to the error log.
  void LogError(const char* what);

  void LogMessage(const std::string& message);

  // Its green thread's.
  PyThreadState* state() const { return state_; }

 protected:
  Hub(green::Scheduler* scheduler, const char* name, size_t stack_size_bytes, ErrorLog* error_log);

  // The rest is on the hub's green thread, GIL held, but for Wake.

  // Python code that defines `settrace` and `getcurrent` of the greenlet library, and `new(run, name)`, which makes a
  // greenlet.
  virtual const char* source() const = 0;

  // Once, after the source was run. False with a Python error.
  virtual bool SetUp() = 0;

  // Runs greenlets, and calls ServeDue when Wake was called, until stopping() and nothing runs or waits in the
  // background any more. Parks.
  virtual void Serve() = 0;

  // In any context, with or without the GIL. Never parks.
  virtual void Wake() = 0;

  // On any OS thread, GIL held. Never parks.
  virtual void WakeRemotely() = 0;

  // The hub's own greenlet, borrowed.
  virtual PyObject* hub_greenlet() const = 0;

  // What EndGreenlets has asked for.
  virtual void ThrowExits() {}

  // What Spawn has asked for. False with a Python error.
  virtual bool StartFunction(PyObject* function) = 0;

  // In the loop's context: gives up what is Python's, without a decref.
  virtual void OnLost() {}

  // Everybody who is due, once.
  void ServeDue();

  bool has_due() const { return !due_.empty() || !spawned_.empty(); }
  bool has_waits() const { return !waits_.empty(); }
  const IntrusiveList<HubWait>& waits() const { return waits_; }
  bool stopping() const { return stopping_; }

  // What the source has defined, borrowed.
  PyObject* function(const char* name) const;

  // A function whose `self` is this hub; Of(self) finds it. Null with a Python error.
  PyObject* NewMethod(PyMethodDef* method);
  static Hub* Of(PyObject* self);

  // A request's greenlet has ended. No effect if that is known.
  void NoteDead(PyObject* greenlet);

 private:
  void Main();
  static void OnAbandoned(green::GreenThread* thread, void* hub);
  bool RunSource();
  static PyObject* OnSwitch(PyObject* self, PyObject* const* arguments, Py_ssize_t count);
  void NoteSwitch(PyObject* origin, PyObject* target);
  static bool IsDead(PyObject* greenlet);
  uint64_t NowTicks() const;  // that the hub has had the OS thread
  CoreGreenlet* OwnerOf(PyObject* greenlet) const;

  green::Scheduler* const scheduler_;
  const char* const name_;
  const size_t stack_size_bytes_;
  ErrorLog* const error_log_;
  green::GreenThread* thread_ = nullptr;
  std::function<void()> on_ended_;
  IntrusiveList<Due> due_;
  IntrusiveList<Due> remote_due_;                        // GIL held
  IntrusiveList<Due> serving_;                           // not on the hub's C stack, which may be copied away
  IntrusiveList<HubWait> waits_;                         // GIL held
  std::unordered_map<PyObject*, CoreGreenlet*> owners_;  // of the greenlets that requests began in
  std::vector<PyRef> spawned_;                           // not started yet
  CoreGreenlet* current_ = nullptr;
  uint64_t switched_at_ticks_ = 0;  // of the hub's own time
  bool exits_due_ = false;
  bool is_broken_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  std::atomic<bool> lost_ = false;  // read on other OS threads too

  // GIL held to destroy them: at the end of Main, if it comes to that.
  PyThreadState* state_ = nullptr;
  PyRef globals_;
  PyRef thrown_;
};

// Each needs its library. FAILED_PRECONDITION says what to install. GIL held. Parks: it may import.
absl::Status CheckGreenletHub();
absl::Status CheckGeventHub();

// gevent.monkey.patch_all(), before the application is imported. FAILED_PRECONDITION: there is no gevent, or it
// refuses. GIL held, on the main thread. Parks: it imports.
absl::Status PatchForGevent();

// After the import, on the main thread: the hub that gevent has made there, if any, becomes the one that NewGeventHub
// makes next, with the greenlets and watchers that wait for it. GIL held. Never parks.
void DetachGeventHub();

// A small hub of our own under python3-greenlet: it switches to those that are due, and parks. What a greenlet calls
// that blocks keeps the others of this hub waiting, and nobody else.
std::unique_ptr<Hub> NewGreenletHub(green::Scheduler* scheduler, size_t stack_size_bytes, ErrorLog* error_log);

// gevent's own hub, whose event loop waits as any blocking call does.
std::unique_ptr<Hub> NewGeventHub(green::Scheduler* scheduler, size_t stack_size_bytes, ErrorLog* error_log);

}  // namespace greenring::pyhost
