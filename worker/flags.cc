#include "worker/flags.h"

#include <getopt.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "worker/http_service.h"

namespace greenring::worker {
namespace {

absl::Status Invalid(std::string_view what) {
  return absl::InvalidArgumentError(absl::string_view(what.data(), what.size()));
}

template <typename T>
absl::Status ParseInteger(const std::string& text, int64_t min, int64_t max, T* out) {
  int64_t value;
  if (!absl::SimpleAtoi(text, &value) || value < min || value > max) {
    return Invalid(absl::StrCat("must be a number from ", min, " to ", max));
  }
  *out = static_cast<T>(value);
  return absl::OkStatus();
}

// "256KiB", "1m", "262144". Decimal and binary units mean the same: powers of 1024, as uWSGI and nginx have it.
absl::Status ParseBytes(const std::string& text, int64_t min, int64_t max, int64_t* out) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string unit = text.substr(digits);
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::tolower(c); });
  int shift = -1;
  if (unit.empty() || unit == "b") shift = 0;
  if (unit == "k" || unit == "kb" || unit == "kib") shift = 10;
  if (unit == "m" || unit == "mb" || unit == "mib") shift = 20;
  if (unit == "g" || unit == "gb" || unit == "gib") shift = 30;
  int64_t number;
  if (shift < 0 || !absl::SimpleAtoi(text.substr(0, digits), &number) || number > (max >> shift) ||
      (number << shift) < min) {
    return Invalid(absl::StrCat("must be a size from ", min, " to ", max, " bytes, as in 256KiB or 1MiB"));
  }
  *out = number << shift;
  return absl::OkStatus();
}

// "30s", "500ms", "1m30s"; a bare number is seconds.
absl::Status ParseTimeout(const std::string& text, int64_t* out_ns) {
  double seconds;
  absl::Duration duration;
  if (absl::SimpleAtod(text, &seconds) && std::isfinite(seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    duration = -absl::InfiniteDuration();
  }
  if (duration < absl::ZeroDuration() || duration > absl::Hours(24 * 365)) {
    return Invalid("must be a duration from 0 to a year, as in 30s, 500ms or 2m");
  }
  *out_ns = absl::ToInt64Nanoseconds(duration);
  return absl::OkStatus();
}

// "30s" for all requests, "/export=5m" for those below a path.
absl::Status ParseRequestTimeout(const std::string& text, HttpServiceOptions* options) {
  const size_t equals = text.rfind('=');
  const std::string path = text.substr(0, equals == std::string::npos ? 0 : equals);
  const bool has_path = text.substr(0, 1) == "/";
  if (has_path == path.empty()) {
    return Invalid("must be a duration, as in 30s, or a path and a duration, as in /export=5m");
  }
  int64_t timeout_ns = 0;
  absl::Status parsed = ParseTimeout(text.substr(path.empty() ? 0 : equals + 1), &timeout_ns);
  if (parsed.ok()) options->request_timeouts.Set(path, timeout_ns);
  return parsed;
}

absl::Status ParsePath(const std::string& text, std::string* out) {
  *out = text;
  return text.empty() || text.front() == '/' ? absl::OkStatus() : Invalid("must begin with /");
}

// More requests than any worker lives for.
constexpr int64_t kRequestsMax = int64_t{1} << 40;

absl::Status AppendList(const std::string& text, std::vector<std::string>* out) {
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) out->emplace_back(part);
  return out->empty() ? Invalid("must not be empty") : absl::OkStatus();
}

using Text = const std::string&;
using Options = WorkerOptions;

struct Flag {
  const char* name;
  const char* value;  // what the value is, for the help text; nullptr: it has none
  const char* help;
  absl::Status (*parse)(Text text, Options* options);
};

const Flag kFlags[] = {
    {"app", "SPEC",
     "The application: module:callable, module (its `application`, else `app`), path/to/file.py[:callable], or a\n"
     "factory call, module:create_app().",
     [](Text text, Options* options) -> absl::Status {
       options->application = text;
       return text.empty() ? Invalid("must name an application") : absl::OkStatus();
     }},
    {"chdir", "DIR", "Change to this directory first; it is where modules are found.",
     [](Text text, Options* options) -> absl::Status {
       options->working_directory = text;
       return absl::OkStatus();
     }},
    {"pythonpath", "DIR[,DIR]", "More directories for sys.path. May be repeated.",
     [](Text text, Options* options) -> absl::Status { return AppendList(text, &options->python_path); }},
    {"virtualenv", "DIR", "The virtual environment to use (default: $VIRTUAL_ENV, if set).",
     [](Text text, Options* options) -> absl::Status {
       options->virtualenv = text;
       return absl::OkStatus();
     }},
    {"http", "ADDRESS",
     "Serve HTTP on host:port or unix:/path (default 127.0.0.1:8080). May be repeated. Port 0: any free one.",
     [](Text text, Options* options) -> absl::Status { return AppendList(text, &options->http_addresses); }},
    {"listen_backlog", "N", "Connections that may wait to be accepted (default 4096; net.core.somaxconn limits it).",
     [](Text text, Options* options) -> absl::Status {
       return ParseInteger(text, 1, 1 << 20, &options->listen_backlog);
     }},
    {"engine", "NAME", "What a core is: a green thread, ucontext (default) or fcontext, or an OS thread, thread.",
     [](Text text, Options* options) -> absl::Status {
       const std::optional<green::Engine> engine = green::EngineFromName(text);
       if (!engine.has_value()) return Invalid("must be ucontext, fcontext or thread");
       options->cores.engine = *engine;
       return absl::OkStatus();
     }},
    {"async_cores", "N", "Requests that run at the same time, each on a green thread (default 256).",
     [](Text text, Options* options) -> absl::Status {
       return ParseInteger(text, 1, kAsyncCoresMax, &options->cores.cores_max);
     }},
    {"stack_size", "SIZE",
     "Stack of each green thread (default 256KiB). Memory is used only as deep as the stack goes. Who needs more gets\n"
     "RecursionError; the error log recommends a size at the end.",
     [](Text text, Options* options) -> absl::Status {
       int64_t bytes = 0;
       absl::Status parsed = ParseBytes(text, green::kStackSizeBytesMin, green::kStackSizeBytesMax, &bytes);
       if (parsed.ok()) options->cores.stack_size_bytes = static_cast<size_t>(bytes);
       return parsed;
     }},
    {"stack_pages", "N", "The same in pages, as uGreen counts.",
     [](Text text, Options* options) -> absl::Status {
       const int64_t page_bytes = static_cast<int64_t>(green::StackSlab::page_size_bytes());
       int64_t pages = 0;
       absl::Status parsed =
           ParseInteger(text, green::kStackSizeBytesMin / page_bytes, green::kStackSizeBytesMax / page_bytes, &pages);
       if (parsed.ok()) options->cores.stack_size_bytes = static_cast<size_t>(pages * page_bytes);
       return parsed;
     }},
    {"python_threads", "KIND",
     "What threading.Thread starts: os, an OS thread that runs beside the green threads (default), or green, one\n"
     "more green thread.",
     [](Text text, Options* options) -> absl::Status {
       if (text != "os" && text != "green") return Invalid("must be os or green");
       options->python_threads = text == "green" ? PythonThreads::kGreen : PythonThreads::kOs;
       return absl::OkStatus();
     }},
    {"time_slice", "TIME",
     "How long a request may run Python code before it gives way to others that can run (default 10ms; 0: for ever).\n"
     "At least sys.getswitchinterval(), which is 5 ms. C code is not interrupted.",
     [](Text text, Options* options) -> absl::Status {
       int64_t slice_ns = 0;
       if (!ParseTimeout(text, &slice_ns).ok() ||
           (slice_ns != 0 && (slice_ns < kTimeSliceNsMin || slice_ns > kTimeSliceNsMax))) {
         return Invalid("must be 0, or a duration from 1ms to 10s");
       }
       options->time_slice_ns = slice_ns;
       return absl::OkStatus();
     }},
    {"audit", nullptr,
     "Watch for calls that block the whole worker, and report them at exit and to greenring.audit_report().",
     [](Text, Options* options) -> absl::Status {
       options->audit = true;
       return absl::OkStatus();
     }},
    {"audit_threshold", "TIME", "How long a call has to block for the audit to report it (default 10ms).",
     [](Text text, Options* options) -> absl::Status {
       int64_t threshold_ns = 0;
       if (!ParseTimeout(text, &threshold_ns).ok() || threshold_ns < kTimeSliceNsMin ||
           threshold_ns > kTimeSliceNsMax) {
         return Invalid("must be a duration from 1ms to 10s");
       }
       options->audit_threshold_ns = threshold_ns;
       return absl::OkStatus();
     }},
    {"queue_depth_max", "N", "Requests that may wait for a core; more are answered 503 (default 1024).",
     [](Text text, Options* options) -> absl::Status {
       return ParseInteger(text, 0, 1 << 20, &options->cores.queue_depth_max);
     }},
    {"access_log", "PATH", "Log every request in the combined format to this file; - is stdout (default: none).",
     [](Text text, Options* options) -> absl::Status {
       options->access_log = text;
       return absl::OkStatus();
     }},
    {"error_log", "PATH", "Log errors and wsgi.errors to this file; - is stderr (default).",
     [](Text text, Options* options) -> absl::Status {
       options->error_log = text;
       return text.empty() ? Invalid("must name a file, or - for stderr") : absl::OkStatus();
     }},
    {"log_format", "FORMAT",
     "Of both logs: text (default; the access log in the combined format), or json, one object a line.",
     [](Text text, Options* options) -> absl::Status {
       options->http.log_format = text == "json" ? LogFormat::kJson : LogFormat::kText;
       return text == "json" || text == "text" ? absl::OkStatus() : Invalid("must be text or json");
     }},
    {"liveness_path", "PATH",
     "A path that the loop answers itself, with 200 while it turns, as in /livez (default: none).",
     [](Text text, Options* options) -> absl::Status { return ParsePath(text, &options->http.probes.liveness); }},
    {"readiness_path", "PATH", "The same, with 503 while the server drains or its queue is full (default: none).",
     [](Text text, Options* options) -> absl::Status { return ParsePath(text, &options->http.probes.readiness); }},
    {"max_requests", "N", "Drain and exit with 3 after so many requests (default 0: never).",
     [](Text text, Options* options) -> absl::Status {
       return ParseInteger(text, 0, kRequestsMax, &options->recycling.requests_max);
     }},
    {"max_requests_jitter", "N", "Up to so many more, at random (default 0).",
     [](Text text, Options* options) -> absl::Status {
       return ParseInteger(text, 0, kRequestsMax, &options->recycling.requests_jitter);
     }},
    {"max_worker_rss", "SIZE", "The same when more memory than this is resident, as in 1GiB (default 0: never).",
     [](Text text, Options* options) -> absl::Status {
       return ParseBytes(text, 0, std::numeric_limits<int64_t>::max(), &options->recycling.rss_bytes_max);
     }},
    {"max_worker_lifetime", "TIME", "The same after so long, as in 24h (default 0: never).",
     [](Text text, Options* options) -> absl::Status {
       return ParseTimeout(text, &options->recycling.lifetime_max_ns);
     }},
    {"drain_timeout", "TIME", "At SIGTERM or SIGINT, how long requests may take to finish (default 30s).",
     [](Text text, Options* options) -> absl::Status { return ParseTimeout(text, &options->drain_timeout_ns); }},
    {"keepalive_timeout", "TIME", "How long a connection may be idle between two requests (default 75s).",
     [](Text text, Options* options) -> absl::Status {
       return ParseTimeout(text, &options->http.keepalive_timeout_ns);
     }},
    {"header_timeout", "TIME", "How long a request's head may take to arrive (default 30s).",
     [](Text text, Options* options) -> absl::Status { return ParseTimeout(text, &options->http.header_timeout_ns); }},
    {"io_timeout", "TIME",
     "How long a client may make no progress in sending a body or taking a response (default 60s).",
     [](Text text, Options* options) -> absl::Status { return ParseTimeout(text, &options->http.io_timeout_ns); }},
    {"request_timeout", "[PATH=]TIME",
     "How long a request may take until its response is complete, from when its head has arrived (default 0: no\n"
     "limit). Then greenring.RequestTimeout is raised in it, and the client gets 504. With a path, as in /export=5m:\n"
     "for it and what is below it; may be repeated, the longest path wins.",
     [](Text text, Options* options) -> absl::Status { return ParseRequestTimeout(text, &options->http); }},
    {"request_timeout_grace", "TIME",
     "How long such a request may go on before it is reported, and the server drains and exits with 3 (default 5s).",
     [](Text text, Options* options) -> absl::Status {
       return ParseTimeout(text, &options->http.request_timeout_grace_ns);
     }},
    {"cancel_on_disconnect", "ON|OFF",
     "Raise greenring.Cancelled in a request whose client closes its connection, or its sending side (default off).",
     [](Text text, Options* options) -> absl::Status {
       options->http.cancel_on_disconnect = text == "on";
       return text == "on" || text == "off" ? absl::OkStatus() : Invalid("must be on or off");
     }},
    {"limit_request_line", "BYTES", "Longest request line (default 8190); longer is answered 414.",
     [](Text text, Options* options) -> absl::Status {
       return ParseInteger(text, 64, 32 * 1024, &options->http.limits.request_line_bytes_max);
     }},
    {"limit_request_fields", "N", "Most header lines (default 100); more are answered 431.",
     [](Text text, Options* options) -> absl::Status {
       return ParseInteger(text, 1, 1000, &options->http.limits.header_count_max);
     }},
    {"limit_request_field_size", "BYTES", "Longest header line (default 8190); longer is answered 431.",
     [](Text text, Options* options) -> absl::Status {
       return ParseInteger(text, 64, 32 * 1024, &options->http.limits.header_field_bytes_max);
     }},
    {"limit_request_body", "SIZE", "Largest request body (default 0: no limit); larger is answered 413.",
     [](Text text, Options* options) -> absl::Status {
       int64_t bytes = 0;
       absl::Status parsed = ParseBytes(text, 0, std::numeric_limits<int64_t>::max(), &bytes);
       if (parsed.ok()) options->http.limits.body_bytes_max = bytes == 0 ? -1 : bytes;
       return parsed;
     }},
};

constexpr size_t kFlagCount = std::size(kFlags);
constexpr int kHelp = static_cast<int>(kFlagCount);

// "--Async-Cores=4" as "--async_cores=4" is spelled.
std::string Normalised(std::string_view argument) {
  std::string text(argument);
  if (text.compare(0, 2, "--") != 0) return text;
  const size_t end = std::min(text.find('='), text.size());
  std::replace(text.begin() + 2, text.begin() + static_cast<std::ptrdiff_t>(end), '-', '_');
  return text;
}

}  // namespace

absl::StatusOr<ParsedFlags> ParseFlags(int argc, char** argv) {
  std::vector<option> table;
  for (size_t i = 0; i < kFlagCount; ++i) {
    const int argument = kFlags[i].value != nullptr ? required_argument : no_argument;
    table.push_back({kFlags[i].name, argument, nullptr, static_cast<int>(i)});
  }
  table.push_back({"help", no_argument, nullptr, kHelp});
  table.push_back({nullptr, 0, nullptr, 0});

  std::vector<std::string> texts;
  for (int i = 0; i < argc; ++i) texts.push_back(Normalised(argv[i]));
  std::vector<char*> arguments;
  for (std::string& text : texts) arguments.push_back(text.data());
  arguments.push_back(nullptr);

  ParsedFlags parsed;
  const std::vector<std::string> default_addresses = std::move(parsed.options.http_addresses);
  parsed.options.http_addresses.clear();
  optind = 0;  // glibc: start anew
  opterr = 0;
  for (;;) {
    const int index = getopt_long(argc, arguments.data(), "+:h", table.data(), nullptr);
    if (index == -1) break;
    if (index == 'h' || index == kHelp) {
      parsed.help = true;
      return parsed;
    }
    const std::string argument = optind > 0 && optind <= argc ? texts[static_cast<size_t>(optind) - 1] : "";
    if (index == ':') return Invalid(absl::StrCat(argument, " needs a value"));
    if (index == '?' && optopt >= 0 && static_cast<size_t>(optopt) < kFlagCount && optopt != 0) {
      return Invalid(absl::StrCat("--", kFlags[optopt].name, " takes no value"));
    }
    if (index == '?') return Invalid(absl::StrCat("unknown flag ", argument, "; --help lists them"));
    const Flag& flag = kFlags[index];
    const std::string text = optarg != nullptr ? optarg : "";
    absl::Status status = flag.parse(text, &parsed.options);
    if (!status.ok()) return Invalid(absl::StrCat("--", flag.name, "=", text, ": ", status.message()));
  }
  if (optind < argc) {
    return Invalid(absl::StrCat("unexpected argument ", texts[static_cast<size_t>(optind)],
                                "; the application is named by --app=module:callable"));
  }
  if (parsed.options.application.empty()) {
    return Invalid("no application: name one with --app=module:callable; --help lists all flags");
  }
  if (parsed.options.http_addresses.empty()) parsed.options.http_addresses = default_addresses;
  protocol::Limits& limits = parsed.options.http.limits;
  limits.head_bytes_max =
      std::max(limits.head_bytes_max, limits.request_line_bytes_max + limits.header_field_bytes_max + 8);
  return parsed;
}

std::string FlagsHelp() {
  std::string text =
      "Greenring serves a blocking WSGI application on green threads and io_uring.\n\n"
      "usage: server --app=module:callable [flags]\n\n";
  for (const Flag& flag : kFlags) {
    absl::StrAppend(&text, "  --", flag.name, flag.value != nullptr ? "=" : "", flag.value != nullptr ? flag.value : "",
                    "\n");
    for (absl::string_view line : absl::StrSplit(flag.help, '\n')) absl::StrAppend(&text, "        ", line, "\n");
  }
  absl::StrAppend(
      &text, "  --help\n        Print this text.\n\n",
      "SIGTERM and SIGINT finish the requests in flight and exit 0; a second one exits at once. Exit codes: 1, it\n"
      "could not serve; 2, wrong flags; 3, it has drained by itself and wants to be started again.\n");
  return text;
}

}  // namespace greenring::worker
