// The Python module `uwsgi`: the interface that applications of uWSGI's async modes were written for. uwsgi.pyi beside
// it types and documents it; docs/UWSGI_API.md says what differs from uWSGI, and why.
//
//   RegisterUwsgiModule(&host, {.loop = "async", .options = ...});       // before Interpreter::Start
//   ... LoadApplication ...
//   UwsgiModule::AfterImport();                                           // post_fork_hook; uwsgi.ready() from now on
//   WsgiHandler handler(std::move(application), {}, &error_log, UwsgiModule::extension());
//   ... serve ...
//   UwsgiModule::AtExit();                                                // atexit
//
// Only a process that has called RegisterUwsgiModule has the module: many libraries behave differently where they find
// it. Each part of it is a file here, with a function that adds it to the module (parts.h).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pyhost/python.h"
#include "pyhost/request_extension.h"
#include "pyhost/uwsgi/host.h"

namespace greenring::pyhost {

// What uwsgi.opt and other attributes say.
struct UwsgiOptions {
  std::map<std::string, std::string> options = {};  // uwsgi.opt, beside what is known here; "" and "true" are True
  std::string loop = "async";                       // uwsgi.loop, as uWSGI names its loops
  std::vector<int> sockets = {};                    // the listening ones; borrowed
  int64_t buffer_size_bytes = 4096;
};

// `import uwsgi` finds it from then on. Before CPython starts, once; `host` lives as long as CPython.
void RegisterUwsgiModule(UwsgiHost* host, UwsgiOptions options);

// Without RegisterUwsgiModule none of these has an effect. GIL held.
class UwsgiModule {
 public:
  UwsgiModule() = delete;

  // For WsgiHandler; nullptr without RegisterUwsgiModule.
  static RequestExtension* extension();

  // Who is to be told of the signals that come for this worker; nullptr without RegisterUwsgiModule.
  static UwsgiSignalSink* signal_sink();

  // Has `function`, which takes nothing and never raises, called where the engine runs what is no request; false with a
  // Python error. GIL held; never parks.
  using Spawner = std::function<bool(PyObject* function)>;
  // Who does that from now on, for engines whose cores are not threads; nullptr, as at the beginning: each in a green
  // thread of its own.
  static void SetSpawner(Spawner spawner);
  // That is what it does then; also for a spawner that has nothing better at the moment.
  static bool SpawnInGreenThread(PyObject* function);

  // The application is there: calls uwsgi.post_fork_hook, if it has set one, and what that raises goes to the log.
  // On the main thread. May run Python code that blocks.
  static void AfterImport();

  // The process ends, and no request runs any more: uwsgi.atexit, likewise.
  static void AtExit();
};

}  // namespace greenring::pyhost
