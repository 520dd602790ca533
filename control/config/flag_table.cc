#include "control/config/flag_table.h"

#include "control/config/flag_values.h"
#include "control/config/pool_limits.h"

namespace greenring::control {
namespace {

using Scope = FlagScope;
using Topic = FlagTopic;

std::vector<Flag> ApplicationFlags() {
  return {
      {"app", "SPEC", Topic::kApplication, Scope::kPool, "application.target",
       "The application: module:callable, module (its `application`, else its `app`), path/to/file.py[:callable], or a "
       "factory call, module:create_app()."},
      {"chdir", "DIR", Topic::kApplication, Scope::kPool, "application.working_directory",
       "Change to this directory first; it is where modules are found."},
      {"pythonpath", "DIR[,DIR]", Topic::kApplication, Scope::kPool, "application.python_path",
       "More directories for sys.path. May be repeated."},
      {"virtualenv", "DIR", Topic::kApplication, Scope::kPool, "application.virtualenv",
       "The virtual environment to use (default: $VIRTUAL_ENV, if set)."},
      {"env", "NAME=VALUE", Topic::kApplication, Scope::kPool, "application.environment",
       "A variable of the application's environment. May be repeated.", 0, 0, ParseEnvironment},
      {"name", "NAME", Topic::kApplication, Scope::kPool, "name",
       "What the pool is called: a-z, 0-9 and - (default web)."},
      {"http", "ADDRESS", Topic::kAddresses, Scope::kPool, "listeners",
       "Serve HTTP on host:port or unix:/path (default 127.0.0.1:8080). May be repeated. Port 0: any free one.", 0, 0,
       ParseHttp},
      {"uwsgi", "ADDRESS", Topic::kAddresses, Scope::kPool, "listeners",
       "Serve the uwsgi protocol, as nginx's uwsgi_pass speaks it, on host:port or unix:/path; without --http there is "
       "no "
       "HTTP then. May be repeated.",
       0, 0, ParseUwsgi},
      {"route", "[HOST][/PATH]", Topic::kAddresses, Scope::kPoolOfMaster, "routes",
       "Serve requests for this host, or below this path, which becomes SCRIPT_NAME; all others get 404. May be "
       "repeated.",
       0, 0, ParseRoute},
      {"listen_backlog", "N", Topic::kAddresses, Scope::kPool, "listeners",
       "Connections that may wait to be accepted (default 4096; net.core.somaxconn limits it).", 1, kBacklogMax,
       ParseListenBacklog},
  };
}

std::vector<Flag> CoreFlags() {
  return {
      {"async_cores", "N", Topic::kCores, Scope::kPool, "async_cores",
       "Requests that a worker runs at the same time, each on a green thread (default 256).", 1, kAsyncCoresMax},
      {"engine", "ucontext|fcontext|thread|greenlet|gevent", Topic::kCores, Scope::kPool, "engine",
       "What a core is made of: a green thread switched by makecontext (default) or by Boost.Context, an OS thread, a "
       "greenlet, or a greenlet of gevent."},
      {"stack_size", "SIZE", Topic::kCores, Scope::kPool, "stack_size_bytes",
       "Stack of each green thread (default 256KiB). Memory is used only as deep as the stack goes. Who needs more "
       "gets "
       "RecursionError; the error log recommends a size at the end.",
       kStackSizeBytesMin, kStackSizeBytesMax},
      {"stack_pages", "N", Topic::kCores, Scope::kPool, "stack_pages", "The same in pages of 4 KiB, as uGreen counts.",
       kStackSizeBytesMin / kStackPageBytes, kStackSizeBytesMax / kStackPageBytes},
      {"queue_depth_max", "N", Topic::kCores, Scope::kPool, "queue_depth_max",
       "Requests that may wait for a core; more are answered 503 (default 1024).", 0, kQueueDepthMax},
      {"python_threads", "os|green", Topic::kCores, Scope::kPool, "python_threads",
       "What threading.Thread starts: an OS thread that runs beside the green threads (default), or one more green "
       "thread."},
      {"time_slice", "TIME", Topic::kCores, Scope::kPool, "time_slice",
       "How long a request may run Python code before it gives way to others that can run (default 10ms; 0: for ever). "
       "At least sys.getswitchinterval(), which is 5 ms. C code is not interrupted."},
      {"audit", nullptr, Topic::kCores, Scope::kPool, "audit.enabled",
       "Watch for calls that block the whole worker, and report them at exit and to greenring.audit_report()."},
      {"audit_threshold", "TIME", Topic::kCores, Scope::kPool, "audit.threshold",
       "What counts as blocking (default 10ms)."},
      {"workers", "N|auto", Topic::kWorkers, Scope::kPoolOfMaster, "workers",
       "Processes that serve the application (default 1); auto: one for each CPU. Also -w N.", 1, kWorkersMax,
       ParseWorkers},
      {"cpu_affinity", "none|spread|LIST", Topic::kWorkers, Scope::kPoolOfMaster, "cpu_affinity",
       "Which CPUs workers run on: any (default), one each, or as listed: 0,2,4-5 is 0 for the first worker, 2 for the "
       "second, 4 and 5 for the third.",
       0, 0, ParseCpuAffinity},
      {"user", "USER", Topic::kWorkers, Scope::kPool, "user", "Run as this user. Needs a server started by root."},
      {"group", "GROUP", Topic::kWorkers, Scope::kPool, "group", "Run as this group (default: the user's)."},
  };
}

std::vector<Flag> CompatibilityFlags() {
  return {
      {"uwsgi_api", nullptr, Topic::kCompatibility, Scope::kPool, "uwsgi_api.enabled",
       "There are the modules uwsgi and uwsgidecorators. Libraries that find them take the server for uWSGI."},
      {"uwsgi_opt", "NAME[=VALUE]", Topic::kCompatibility, Scope::kPool, "uwsgi_api.options",
       "An option that the application finds in uwsgi.opt; without a value it is true. May be repeated.", 0, 0,
       ParseUwsgiOption},
      {"gevent_monkey_patch", nullptr, Topic::kCompatibility, Scope::kPool, "gevent.monkey_patch",
       "Call gevent.monkey.patch_all() before the application is imported. Needed with --engine=gevent only, by "
       "applications that expect it."},
  };
}

std::vector<Flag> TimeoutFlags() {
  return {
      {"request_timeout", "[PATH=]TIME", Topic::kTimeouts, Scope::kPool, "timeouts.request_by_path",
       "How long a request may take until its response is complete, from when its head has arrived (default 0: no "
       "limit). Then greenring.RequestTimeout is raised in it, and the client gets 504. With a path, as in /export=5m: "
       "for it and what is below it; may be repeated, the longest path wins.",
       0, 0, ParseRequestTimeout},
      {"request_timeout_grace", "TIME", Topic::kTimeouts, Scope::kPool, "timeouts.request_grace",
       "How long such a request may go on before it is reported, and its worker drains and is replaced (default 5s)."},
      {"cancel_on_disconnect", "on|off", Topic::kTimeouts, Scope::kPool, "cancel_on_disconnect",
       "Raise greenring.Cancelled in a request whose client closes its connection, or its sending side (default off)."},
      {"keepalive_timeout", "TIME", Topic::kTimeouts, Scope::kPool, "timeouts.keepalive",
       "How long a connection may be idle between two requests (default 75s)."},
      {"header_timeout", "TIME", Topic::kTimeouts, Scope::kPool, "timeouts.header",
       "How long a request's head may take to arrive (default 30s)."},
      {"io_timeout", "TIME", Topic::kTimeouts, Scope::kPool, "timeouts.io",
       "How long a client may make no progress in sending a body or taking a response (default 60s)."},
      {"drain_timeout", "TIME", Topic::kTimeouts, Scope::kPool, "timeouts.drain",
       "How long requests may take to finish when their worker stops, as at SIGTERM (default 30s)."},
      {"start_timeout", "TIME", Topic::kTimeouts, Scope::kPoolOfMaster, "timeouts.start",
       "How long a worker may take from its start until it is ready (default 60s)."},
  };
}

std::vector<Flag> LimitFlags() {
  return {
      {"limit_request_line", "BYTES", Topic::kLimits, Scope::kPool, "limits.request_line_bytes",
       "Longest request line (default 8190); longer is answered 414.", kRequestLineBytesMin, kRequestLineBytesMax},
      {"limit_request_fields", "N", Topic::kLimits, Scope::kPool, "limits.request_fields",
       "Most header lines (default 100); more are answered 431.", 1, kRequestFieldsMax},
      {"limit_request_field_size", "BYTES", Topic::kLimits, Scope::kPool, "limits.request_field_bytes",
       "Longest header line (default 8190); longer is answered 431.", kRequestLineBytesMin, kRequestLineBytesMax},
      {"limit_request_body", "SIZE", Topic::kLimits, Scope::kPool, "limits.request_body_bytes",
       "Largest request body (default 0: no limit); larger is answered 413."},
      {"max_requests", "N", Topic::kRecycling, Scope::kPool, "recycling.requests_max",
       "Replace a worker after so many requests (default 0: never). With --master=off: drain, and exit with 3."},
      {"max_requests_jitter", "N", Topic::kRecycling, Scope::kPool, "recycling.requests_jitter",
       "Up to so many more, at random, so that not all are replaced at once."},
      {"max_worker_rss", "SIZE", Topic::kRecycling, Scope::kPool, "recycling.rss_bytes_max",
       "Replace a worker that holds so much memory (default 0: never)."},
      {"max_worker_lifetime", "TIME", Topic::kRecycling, Scope::kPool, "recycling.lifetime_max",
       "Replace a worker that is so old (default 0: never)."},
  };
}

std::vector<Flag> LogFlags() {
  return {
      {"access_log", "PATH", Topic::kLogs, Scope::kPool, "logging.access_log",
       "Log every request in the combined format to this file; - is stdout (default: none)."},
      {"error_log", "PATH", Topic::kLogs, Scope::kPool, "logging.error_log",
       "Log errors and wsgi.errors to this file; - is stderr (default)."},
      {"log_format", "text|json", Topic::kLogs, Scope::kPool, "logging.format",
       "Of both logs, and of the server's own lines; json: one object a line (default text).", 0, 0, ParseLogFormat},
      {"liveness_path", "PATH", Topic::kLogs, Scope::kPool, "probes.liveness_path",
       "Answered 200 by the loop itself, even when every core is busy (default: none)."},
      {"readiness_path", "PATH", Topic::kLogs, Scope::kPool, "probes.readiness_path",
       "The same, but 503 when the worker drains or its queue is full (default: none)."},
  };
}

std::vector<Flag> ServerFlags() {
  return {
      {"config", "FILE", Topic::kServer, Scope::kCommand, "",
       "Take everything from this file, YAML, or Protobuf's text format if it ends in .textproto; beside it only flags "
       "of this group are possible.",
       0, 0,
       [](const std::string& text, FlagTarget* target) {
         target->config_path = text;
         return text.empty() ? absl::InvalidArgumentError("must name a file") : absl::OkStatus();
       }},
      {"control", "ADDRESS|off", Topic::kServer, Scope::kMaster, "control.addresses",
       "Where greenctl finds the server: unix:/path, or host:port with all three TLS files (default: greenring.sock in "
       "$XDG_RUNTIME_DIR, for root in /run). May be repeated."},
      {"control_tls_certificate", "FILE", Topic::kServer, Scope::kMaster, "control.tls_certificate",
       "PEM: the server's certificate."},
      {"control_tls_key", "FILE", Topic::kServer, Scope::kMaster, "control.tls_key", "PEM: its key."},
      {"control_tls_client_ca", "FILE", Topic::kServer, Scope::kMaster, "control.tls_client_ca",
       "PEM: whoever has a certificate of this authority may do everything."},
      {"metrics", "ADDRESS", Topic::kServer, Scope::kMaster, "metrics.address",
       "Serve /metrics for Prometheus, /livez and /readyz on host:port (default: none)."},
      {"state_dir", "DIR", Topic::kServer, Scope::kMaster, "state_directory",
       "Keep what is changed by greenctl here, for the next start (default: it is forgotten)."},
      {"pid_file", "FILE", Topic::kServer, Scope::kMaster, "pid_file", "Write the server's process id to this file."},
      {"master", "on|off", Topic::kServer, Scope::kCommand, "",
       "off: one process that serves by itself, without workers and without greenctl (default on).", 0, 0,
       [](const std::string& text, FlagTarget* target) {
         target->is_alone = text == "off";
         return text == "on" || text == "off" ? absl::OkStatus() : absl::InvalidArgumentError("must be on or off");
       }},
      {"validate", nullptr, Topic::kServer, Scope::kCommand, "", "Only say what is wrong with the configuration.", 0, 0,
       [](const std::string&, FlagTarget* target) {
         target->is_validate = true;
         return absl::OkStatus();
       }},
      {"version", nullptr, Topic::kServer, Scope::kCommand, "", "Print the version.", 0, 0,
       [](const std::string&, FlagTarget* target) {
         target->is_version = true;
         return absl::OkStatus();
       }},
      {"help", nullptr, Topic::kServer, Scope::kCommand, "", "Print this text. Also -h.", 0, 0,
       [](const std::string&, FlagTarget* target) {
         target->is_help = true;
         return absl::OkStatus();
       }},
  };
}

}  // namespace

const char* TopicText(FlagTopic topic) {
  switch (topic) {
    case Topic::kApplication:
      return "The application";
    case Topic::kAddresses:
      return "Addresses";
    case Topic::kCores:
      return "Cores";
    case Topic::kWorkers:
      return "Workers";
    case FlagTopic::kCompatibility:
      return "For applications of uWSGI and gevent";
    case Topic::kTimeouts:
      return "Timeouts";
    case Topic::kLimits:
      return "Limits";
    case Topic::kRecycling:
      return "Recycling: a new worker is ready before the old one stops";
    case Topic::kLogs:
      return "Logs and probes";
    case Topic::kServer:
      return "The server";
  }
  return "";
}

const std::vector<Flag>& Flags() {
  static const auto& flags = *[] {
    auto* all = new std::vector<Flag>;
    for (const auto& part : {ApplicationFlags(), CoreFlags(), CompatibilityFlags(), TimeoutFlags(), LimitFlags(),
                             LogFlags(), ServerFlags()}) {
      all->insert(all->end(), part.begin(), part.end());
    }
    return all;
  }();
  return flags;
}

}  // namespace greenring::control
