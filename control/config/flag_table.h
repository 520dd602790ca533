// What each flag of the server means: a field of the configuration, mostly.
//
// Thread-safe; never blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "greenring/control/v1/config.pb.h"

namespace greenring::control {

enum class FlagTopic {
  kApplication,
  kAddresses,
  kCores,
  kWorkers,
  kCompatibility,
  kTimeouts,
  kLimits,
  kRecycling,
  kLogs,
  kServer,
};

// As a heading of the help text.
const char* TopicText(FlagTopic topic);

enum class FlagScope {
  kPool,          // of the pool that the flags describe; cannot stand beside --config
  kPoolOfMaster,  // the same, but it means something under a master only
  kMaster,        // of the whole server; means something under a master only
  kCommand,       // says what to do; no part of the configuration
};

// What the flags say.
struct FlagTarget {
  v1::Configuration configuration;  // without pools
  v1::Pool pool;
  int32_t listen_backlog = 0;  // for all listeners
  std::string config_path;
  bool is_alone = false;
  bool is_validate = false;
  bool is_help = false;
  bool is_version = false;
};

struct Flag {
  const char* name;
  const char* value;  // what the value is, for the help text; nullptr: it has none
  FlagTopic topic;
  FlagScope scope;
  const char* field;  // of Pool, or of Configuration with kMaster; "" with kCommand
  const char* help;
  int64_t min = 0;  // of numbers and sizes
  int64_t max = INT64_MAX;
  // When the value is not simply the field's.
  absl::Status (*parse)(const std::string& text, FlagTarget* target) = nullptr;
};

// In the order of the help text.
const std::vector<Flag>& Flags();

// The error says what is possible.
absl::Status ApplyFlag(const Flag& flag, const std::string& text, FlagTarget* target);

}  // namespace greenring::control
