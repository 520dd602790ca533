#include "tools/greenctl/pool_assignments.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "control/config/config_file.h"
#include "control/config/nearest.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"

namespace greenring::greenctl {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Fields of the pool itself that are not assigned.
const std::set<std::string>& OutputOnly() {
  static const auto* const fields =
      new std::set<std::string>{"name", "generation", "etag", "create_time", "update_time", "status", "drained"};
  return *fields;
}

// A message with fields of its own to assign; durations are written as one value.
bool IsGroup(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_repeated() &&
         field.message_type() != google::protobuf::Duration::descriptor();
}

void AddPaths(const Descriptor& type, const std::string& prefix, std::vector<std::string>* paths) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (prefix.empty() && OutputOnly().count(field.name())) continue;
    const std::string path = prefix + field.name();
    if (IsGroup(field)) {
      AddPaths(*field.message_type(), path + ".", paths);
    } else {
      paths->push_back(field.is_map() ? path + ".KEY" : path);
    }
  }
}

// Where an assignment goes.
struct Place {
  std::vector<std::string> fields;  // "timeouts", "drain"
  const FieldDescriptor* field;     // the last one
  std::optional<std::string> key;   // of a map's entry
};

absl::Status NoSuchField(const std::string& path) {
  return WithHint(
      UsageError(absl::StrCat("a pool has no field ", Printable(path), control::DidYouMean(path, AssignablePaths()))),
      "greenctl describe POOL shows the fields");
}

absl::StatusOr<Place> FindPlace(const std::string& path) {
  Place place;
  const Descriptor* type = v1::Pool::descriptor();
  absl::string_view rest = path;
  while (true) {
    const size_t dot = rest.find('.');
    const std::string name(rest.substr(0, dot));
    place.field = type->FindFieldByName(name);
    if (place.field == nullptr) return NoSuchField(path);
    if (place.fields.empty() && OutputOnly().count(name)) {
      return UsageError(name == "drained" ? "drained is changed with greenctl drain and greenctl resume"
                                          : absl::StrCat(name, " is the server's to say, it cannot be set"));
    }
    place.fields.push_back(name);
    if (dot == absl::string_view::npos) return place;
    rest.remove_prefix(dot + 1);
    if (place.field->is_map()) {
      place.key = std::string(rest);  // with all its dots and slashes
      return place;
    }
    if (!IsGroup(*place.field)) return NoSuchField(path);
    type = place.field->message_type();
  }
}

std::string Quoted(absl::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (absl::ascii_iscntrl(c)) {
      absl::StrAppend(&quoted, "\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

bool IsText(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && !field.is_repeated();
}

// The assignment as the YAML document of a pool.
std::string ToYamlDocument(const Place& place, const std::string& value) {
  std::string document;
  int depth = 0;
  auto add = [&](const std::string& name) {
    if (depth > 0) absl::StrAppend(&document, "\n", std::string(2 * depth, ' '));
    absl::StrAppend(&document, name, ":");
    ++depth;
  };
  for (const std::string& name : place.fields) add(name);
  const FieldDescriptor* field = place.field;
  if (place.key) {
    add(Quoted(*place.key));
    field = field->message_type()->map_value();
  }
  absl::StrAppend(&document, " ", IsText(*field) ? Quoted(value) : value, "\n");
  return document;
}

// The message that holds the last field of `place`.
google::protobuf::Message* ParentOf(const Place& place, google::protobuf::Message* message) {
  for (size_t i = 0; i + 1 < place.fields.size(); ++i) {
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(place.fields[i]);
    message = message->GetReflection()->MutableMessage(message, field);
  }
  return message;
}

// Takes a map's entries over from the pool as it is.
void CopyEntries(const Place& place, v1::Pool current, v1::Pool* pool) {
  const google::protobuf::Message* from = ParentOf(place, &current);
  google::protobuf::Message* to = ParentOf(place, pool);
  for (int i = 0; i < from->GetReflection()->FieldSize(*from, place.field); ++i) {
    to->GetReflection()
        ->AddMessage(to, place.field)
        ->CopyFrom(from->GetReflection()->GetRepeatedMessage(*from, place.field, i));
  }
}

void RemoveEntry(const Place& place, v1::Pool* pool) {
  google::protobuf::Message* parent = ParentOf(place, pool);
  const auto* reflection = parent->GetReflection();
  const FieldDescriptor* key = place.field->message_type()->map_key();
  const int last = reflection->FieldSize(*parent, place.field) - 1;
  for (int i = 0; i <= last; ++i) {
    const google::protobuf::Message& entry = reflection->GetRepeatedMessage(*parent, place.field, i);
    if (entry.GetReflection()->GetString(entry, key) != *place.key) continue;
    reflection->SwapElements(parent, place.field, i, last);
    reflection->RemoveLast(parent, place.field);
    return;
  }
}

absl::Status Assign(const Place& place, const std::string& path, const std::string& value, v1::Pool* pool) {
  if (value.empty()) return absl::OkStatus();  // in the mask and not in the pool: the default
  v1::Pool parsed;
  const absl::Status status = control::ParseYaml(ToYamlDocument(place, value), path, &parsed);
  if (!status.ok()) {
    // Lines and columns are those of a document that nobody has seen.
    const std::string message(status.message());
    const size_t position = absl::StartsWith(message, path + ":") ? message.find(": ") : std::string::npos;
    return WithExitCode(
        absl::InvalidArgumentError(position == std::string::npos ? message : message.substr(position + 2)),
        kExitInvalid);
  }
  pool->MergeFrom(parsed);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::UpdatePoolRequest> ChangeOf(const v1::Pool& current, const std::vector<std::string>& assignments) {
  v1::UpdatePoolRequest request;
  request.mutable_pool()->set_name(current.name());
  std::set<std::string> paths, maps;
  for (const std::string& assignment : assignments) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(assignment, absl::MaxSplits('=', 1));
    if (!absl::StrContains(assignment, "=")) {
      return UsageError(absl::StrCat("\"", Printable(assignment), "\" is not FIELD=VALUE, as in workers=4"));
    }
    if (!paths.insert(parts.first).second) return UsageError(absl::StrCat(parts.first, " is there twice"));
    const absl::StatusOr<Place> place = FindPlace(parts.first);
    if (!place.ok()) return place.status();
    const std::string path = absl::StrJoin(place->fields, ".");
    const bool is_new = maps.insert(path).second;
    if (is_new) request.mutable_update_mask()->add_paths(path);
    if (place->key) {
      if (is_new) CopyEntries(*place, current, request.mutable_pool());
      RemoveEntry(*place, request.mutable_pool());
      request.mutable_pool()->set_etag(current.etag());
    }
    if (absl::Status status = Assign(*place, parts.first, parts.second, request.mutable_pool()); !status.ok()) {
      return status;
    }
  }
  return request;
}

std::vector<std::string> AssignablePaths() {
  std::vector<std::string> paths;
  AddPaths(*v1::Pool::descriptor(), "", &paths);
  return paths;
}

}  // namespace greenring::greenctl
