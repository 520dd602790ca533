// What a command line asks for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "greenring/control/v1/pool_service.pb.h"

namespace greenring::greenctl {

namespace v1 = ::greenring::control::v1;

enum class OutputFormat { kTable, kWide, kJson, kYaml, kName };

struct ConnectionOptions {
  std::string address;  // "unix:/path" or "host:port"
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_ca;
};

struct Options {
  std::string command;                 // "get", "scale", ...
  std::vector<std::string> arguments;  // what follows it, flags apart

  ConnectionOptions connection;
  OutputFormat format = OutputFormat::kTable;
  absl::Duration timeout = absl::InfiniteDuration();  // for everything together
  bool quiet = false;                                 // errors only
  bool color = true;

  std::string file;         // -f
  bool dry_run = false;     // nothing is changed, only checked
  bool wait = true;         // until a change is done
  bool all = false;         // workers that have ended, too
  bool follow = false;      // events as they come
  int64_t after_event = 0;  // events after this one; 0: all that are known
  absl::Duration age_min;   // requests that are at least so old
  absl::Duration interval = absl::Seconds(1);
  int64_t count = 0;   // intervals to show; 0: until interrupted
  std::string reason;  // of a cancellation
  v1::Canary canary;
};

}  // namespace greenring::greenctl
