#include "control/config/flag_values.h"

#include <sched.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/config/pool_limits.h"
#include "control/config/quantities.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"

namespace greenring::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

absl::Status Invalid(const std::string& what) { return absl::InvalidArgumentError(what); }

constexpr char kDurationForms[] = "must be a duration from 0 to a year, as in 30s, 500ms or 2m";

absl::Status ParseNumber(const std::string& text, int64_t min, int64_t max, int64_t* out) {
  if (absl::SimpleAtoi(text, out) && *out >= min && *out <= max) return absl::OkStatus();
  if (max == INT64_MAX) return Invalid(absl::StrCat("must be a number not below ", min));
  return Invalid(absl::StrCat("must be a number from ", min, " to ", max));
}

absl::Status ParseSize(const std::string& text, int64_t min, int64_t max, int64_t* out) {
  const std::optional<int64_t> bytes = BytesFromText(text);
  if (bytes.has_value() && *bytes >= min && *bytes <= max) {
    *out = *bytes;
    return absl::OkStatus();
  }
  const std::string range = max == INT64_MAX ? "" : absl::StrCat(" from ", BytesText(min), " to ", BytesText(max));
  return Invalid(absl::StrCat("must be a size", range, ", as in 256KiB or 1MiB"));
}

absl::Status SetInteger(const Flag& flag, const FieldDescriptor* field, const std::string& text, Message* message) {
  int64_t number = 0;
  const bool is_size = std::string_view(flag.value) == "SIZE";
  absl::Status parsed =
      is_size ? ParseSize(text, flag.min, flag.max, &number) : ParseNumber(text, flag.min, flag.max, &number);
  if (!parsed.ok()) return parsed;
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT32) {
    message->GetReflection()->SetInt32(message, field, static_cast<int32_t>(number));
  } else {
    message->GetReflection()->SetInt64(message, field, number);
  }
  return absl::OkStatus();
}

absl::Status SetBool(const Flag& flag, const FieldDescriptor* field, const std::string& text, Message* message) {
  if (flag.value != nullptr && text != "on" && text != "off") return Invalid("must be on or off");
  message->GetReflection()->SetBool(message, field, flag.value == nullptr || text == "on");
  return absl::OkStatus();
}

absl::Status SetEnum(const Flag& flag, const FieldDescriptor* field, const std::string& text, Message* message) {
  const auto* value = field->enum_type()->FindValueByName(absl::AsciiStrToUpper(text));
  if (value == nullptr || value->number() == 0) return Invalid(absl::StrCat("must be ", flag.value));
  message->GetReflection()->SetEnum(message, field, value);
  return absl::OkStatus();
}

absl::Status AppendList(const FieldDescriptor* field, const std::string& text, Message* message) {
  const size_t before = static_cast<size_t>(message->GetReflection()->FieldSize(*message, field));
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    message->GetReflection()->AddString(message, field, std::string(part));
  }
  const bool any = static_cast<size_t>(message->GetReflection()->FieldSize(*message, field)) > before;
  return any ? absl::OkStatus() : Invalid("must not be empty");
}

absl::Status SetDuration(const std::string& text, Message* message) {
  const std::optional<absl::Duration> duration = DurationFromText(text);
  if (!duration.has_value()) return Invalid(kDurationForms);
  message->CopyFrom(ToProto(*duration));
  return absl::OkStatus();
}

absl::Status AddListeners(const std::string& text, v1::Listener::Protocol protocol, FlagTarget* target) {
  const int before = target->pool.listeners_size();
  for (const absl::string_view address : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    v1::Listener* const listener = target->pool.add_listeners();
    listener->set_address(std::string(address));
    listener->set_protocol(protocol);
  }
  return target->pool.listeners_size() > before ? absl::OkStatus() : Invalid("must not be empty");
}

// Sets the field at flag.field by its type.
absl::Status SetField(const Flag& flag, const std::string& text, Message* message) {
  const FieldDescriptor* field = nullptr;
  for (std::string_view path = flag.field; !path.empty();) {
    const size_t dot = path.find('.');
    if (field != nullptr) message = message->GetReflection()->MutableMessage(message, field);
    field = message->GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
    path = dot == std::string_view::npos ? "" : path.substr(dot + 1);
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return SetInteger(flag, field, text, message);
    case FieldDescriptor::CPPTYPE_BOOL:
      return SetBool(flag, field, text, message);
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(flag, field, text, message);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return SetDuration(text, message->GetReflection()->MutableMessage(message, field));
    default:
      if (field->is_repeated()) return AppendList(field, text, message);
      message->GetReflection()->SetString(message, field, text);
      return absl::OkStatus();
  }
}

}  // namespace

absl::Status ParseEnvironment(const std::string& text, FlagTarget* target) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return Invalid("must be a name and a value, as in DEBUG=1");
  (*target->pool.mutable_application()->mutable_environment())[text.substr(0, equals)] = text.substr(equals + 1);
  return absl::OkStatus();
}

absl::Status ParseHttp(const std::string& text, FlagTarget* target) {
  return AddListeners(text, v1::Listener::HTTP, target);
}

absl::Status ParseUwsgi(const std::string& text, FlagTarget* target) {
  return AddListeners(text, v1::Listener::UWSGI, target);
}

absl::Status ParseUwsgiOption(const std::string& text, FlagTarget* target) {
  const size_t equals = text.find('=');
  if (text.empty() || equals == 0) return Invalid("must be a name, or a name and a value, as in greeting=hello");
  (*target->pool.mutable_uwsgi_api()->mutable_options())[text.substr(0, equals)] =
      equals == std::string::npos ? "true" : text.substr(equals + 1);
  return absl::OkStatus();
}

// What is wrong with it is Validate's to find.
absl::Status ParseRoute(const std::string& text, FlagTarget* target) {
  if (text.empty()) return Invalid("must be a host, a path, or both, as in example.com/api");
  const size_t slash = std::min(text.find('/'), text.size());
  v1::Route* const route = target->pool.add_routes();
  route->set_host(text.substr(0, slash));
  route->set_path_prefix(text.substr(slash));
  return absl::OkStatus();
}

absl::Status ParseListenBacklog(const std::string& text, FlagTarget* target) {
  int64_t number = 0;
  absl::Status parsed = ParseNumber(text, 1, kBacklogMax, &number);
  if (parsed.ok()) target->listen_backlog = static_cast<int32_t>(number);
  return parsed;
}

absl::Status ParseWorkers(const std::string& text, FlagTarget* target) {
  int64_t number = 1;
  cpu_set_t cpus;
  if (text == "auto") {
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) number = CPU_COUNT(&cpus);
  } else if (absl::Status parsed = ParseNumber(text, 1, kWorkersMax, &number); !parsed.ok()) {
    return Invalid(absl::StrCat(parsed.message(), ", or auto"));
  }
  target->pool.set_workers(static_cast<int32_t>(number));
  return absl::OkStatus();
}

absl::Status ParseCpuAffinity(const std::string& text, FlagTarget* target) {
  v1::CpuAffinity* affinity = target->pool.mutable_cpu_affinity();
  affinity->clear_cpus();
  if (text == "none" || text == "spread") {
    affinity->set_policy(text == "none" ? v1::CpuAffinity::NONE : v1::CpuAffinity::SPREAD);
    return absl::OkStatus();
  }
  affinity->set_policy(v1::CpuAffinity::LIST);
  for (const absl::string_view part : absl::StrSplit(text, ',')) affinity->add_cpus(std::string(part));
  return absl::OkStatus();
}

absl::Status ParseRequestTimeout(const std::string& text, FlagTarget* target) {
  const size_t equals = text.rfind('=');
  const std::string path = text.substr(0, equals == std::string::npos ? 0 : equals);
  const bool has_path = text.substr(0, 1) == "/";
  if (has_path == path.empty()) {
    return Invalid("must be a duration, as in 30s, or a path and a duration, as in /export=5m");
  }
  const std::optional<absl::Duration> duration = DurationFromText(text.substr(path.empty() ? 0 : equals + 1));
  if (!duration.has_value()) return Invalid(kDurationForms);
  v1::Timeouts* timeouts = target->pool.mutable_timeouts();
  (path.empty() ? *timeouts->mutable_request() : (*timeouts->mutable_request_by_path())[path]) = ToProto(*duration);
  return absl::OkStatus();
}

absl::Status ParseLogFormat(const std::string& text, FlagTarget* target) {
  v1::Logging::Format format;
  if (!v1::Logging::Format_Parse(absl::AsciiStrToUpper(text), &format) || format == v1::Logging::FORMAT_UNSPECIFIED) {
    return Invalid("must be text or json");
  }
  target->pool.mutable_logging()->set_format(format);
  target->configuration.set_log_format(format);
  return absl::OkStatus();
}

absl::Status ApplyFlag(const Flag& flag, const std::string& text, FlagTarget* target) {
  if (flag.parse != nullptr) return flag.parse(text, target);
  if (flag.scope == FlagScope::kMaster) return SetField(flag, text, &target->configuration);
  absl::Status set = SetField(flag, text, &target->pool);
  // Two flags for one size: the last one wins.
  if (set.ok() && std::string_view(flag.field) == "stack_pages") target->pool.clear_stack_size_bytes();
  if (set.ok() && std::string_view(flag.field) == "stack_size_bytes") target->pool.clear_stack_pages();
  return set;
}

}  // namespace greenring::control
