// What one worker is told to do: the command line's meaning, in the units of the code.
//
//   WorkerOptions options;
//   options.application = "shop.wsgi:app";
//   options.addresses = {{.text = "127.0.0.1:8080"}};
//   return RunWorker(options);
//
// Plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "green/context.h"
#include "green/stack_slab.h"
#include "protocol/wire_protocol.h"
#include "worker/core_pool.h"
#include "worker/http_service.h"
#include "worker/recycling.h"

namespace greenring::worker {

// A core's stack and Python state cost memory only once used; beyond this the mappings of old kernels run out.
inline constexpr size_t kAsyncCoresMax = 100'000;

// A shorter slice costs more than it gives; with a longer one others have timed out.
inline constexpr int64_t kTimeSliceNsMin = kNanosecondsPerMillisecond;
inline constexpr int64_t kTimeSliceNsMax = 10 * kNanosecondsPerSecond;

// What a thread is that Python code starts. Those that C libraries start are always OS threads.
enum class PythonThreads : uint8_t { kOs, kGreen };

struct ListenAddress {
  std::string text;  // "host:port" or "unix:/path"
  protocol::WireProtocol protocol = protocol::WireProtocol::kHttp;
};

struct WorkerOptions {
  std::string application;        // see pyhost/application.h for its forms
  std::string working_directory;  // empty: the current one
  std::vector<std::string> python_path;
  std::string virtualenv;

  std::vector<ListenAddress> addresses = {{.text = "127.0.0.1:8080"}};  // empty: the master has the sockets
  int listen_backlog = 4096;

  CoreSettings cores;
  PythonThreads python_threads = PythonThreads::kOs;
  int64_t time_slice_ns = 10 * kNanosecondsPerMillisecond;  // see pyhost/preemption.h; 0: who computes is let be
  bool audit = false;                                       // see pyhost/audit.h
  int64_t audit_threshold_ns = 10 * kNanosecondsPerMillisecond;
  HttpServiceOptions http;

  RecyclingOptions recycling;

  bool uwsgi_api = false;                            // the application can import `uwsgi` and `uwsgidecorators`
  std::map<std::string, std::string> uwsgi_options;  // of uwsgi.opt
  bool gevent_monkey_patch = false;                  // gevent.monkey.patch_all() before the application is imported

  std::string access_log;       // a path, "-" for stdout, empty for none
  std::string error_log = "-";  // a path, or "-" for stderr
  int64_t drain_timeout_ns = 30 * kNanosecondsPerSecond;
};

}  // namespace greenring::worker
