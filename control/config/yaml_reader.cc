#include "control/config/yaml_reader.h"

#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/config/nearest.h"
#include "control/config/quantities.h"
#include "control/config/violation_list.h"
#include "control/config/yaml_tree.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace greenring::control {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Kind = YamlNode::Kind;
using Entries = std::vector<std::pair<YamlNode::Pointer, YamlNode::Pointer>>;

constexpr char kMergeKey[] = "<<";

const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kScalar:
      return "a single value";
    case Kind::kSequence:
      return "a list";
    case Kind::kMap:
      return "a mapping";
  }
  return "";
}

// The values of an enum that mean something.
std::string NamesOf(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) {
    if (!absl::EndsWith(type.value(i)->name(), "_UNSPECIFIED")) names.push_back(type.value(i)->name());
  }
  return absl::StrJoin(names, ", ");
}

class Reader {
 public:
  Reader(FieldPositions* positions, FileErrors* errors) : positions_(positions), errors_(errors) {}

  // `path` is that of the message, with a "." at its end unless it is empty.
  void ReadMessage(const YamlNode& node, const std::string& path, Message* message) {
    if (!Visit(node) || node.kind == Kind::kNull) return;
    if (node.kind != Kind::kMap) {
      const std::string what = absl::StrCat("must be a mapping of fields to values, not ", NameOf(node.kind));
      return errors_->Add(node.position, path.substr(0, path.empty() ? 0 : path.size() - 1), what);
    }
    for (const auto& [key, value] : Merged(node, 0)) ReadEntry(*key, *value, path, message);
  }

 private:
  // Aliases make more out of a text than it holds; this bounds how much.
  bool Visit(const YamlNode& node) {
    if (++visited_ <= kYamlNodesMax) return true;
    if (visited_ == kYamlNodesMax + 1) {
      errors_->Add(node.position, "", absl::StrCat("has more than ", kYamlNodesMax, " values, aliases written out"));
    }
    return false;
  }

  // With what "<<" names; what is there itself wins, then what is named first.
  Entries Merged(const YamlNode& map, int depth) {
    Entries entries;
    std::vector<const YamlNode*> sources;
    for (const auto& entry : map.entries) {
      if (entry.first->is_quoted || entry.first->text != kMergeKey) {
        entries.push_back(entry);
      } else if (entry.second->kind == Kind::kSequence) {
        for (const YamlNode::Pointer& element : entry.second->elements) sources.push_back(element.get());
      } else {
        sources.push_back(entry.second.get());
      }
    }
    if (sources.empty()) return entries;
    std::set<std::string_view> keys;
    for (const auto& [key, value] : entries) keys.insert(key->text);
    for (const YamlNode* source : sources) {
      if (!Visit(*source)) break;
      if (source->kind != Kind::kMap || depth >= kYamlDepthMax) {
        errors_->Add(source->position, "", absl::StrCat("<< takes mappings, not ", NameOf(source->kind)));
        continue;
      }
      for (const auto& entry : Merged(*source, depth + 1)) {
        if (!Visit(*entry.first)) break;
        if (keys.insert(entry.first->text).second) entries.push_back(entry);
      }
    }
    return entries;
  }

  void ReadEntry(const YamlNode& key, const YamlNode& value, const std::string& path, Message* message) {
    const Descriptor& type = *message->GetDescriptor();
    const FieldDescriptor* field = type.FindFieldByName(key.text);
    if (field == nullptr) {
      std::vector<std::string> names;
      for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
      return errors_->Add(key.position, path + absl::Utf8SafeCEscape(key.text),
                          absl::StrCat("there is no such field", DidYouMean(key.text, names)));
    }
    const std::string field_path = path + field->name();
    (*positions_)[field_path] = key.position;
    if (const auto* oneof = field->real_containing_oneof()) {
      if (message->GetReflection()->HasOneof(*message, oneof)) {
        return errors_->Add(key.position, field_path,
                            absl::StrCat("is there beside another of ", oneof->name(), ": one is possible"));
      }
    }
    if (field->is_map()) {
      ReadMap(value, *field, field_path, message);
    } else if (field->is_repeated()) {
      ReadList(value, *field, field_path, message);
    } else {
      ReadValue(value, *field, field_path, message);
    }
  }

  void ReadList(const YamlNode& node, const FieldDescriptor& field, const std::string& path, Message* message) {
    if (!Visit(node) || node.kind == Kind::kNull) return;
    if (node.kind != Kind::kSequence) {
      return errors_->Add(node.position, path, absl::StrCat("must be a list, as in [a, b], not ", NameOf(node.kind)));
    }
    for (size_t i = 0; i < node.elements.size(); ++i) {
      const std::string element = absl::StrCat(path, "[", i, "]");
      (*positions_)[element] = node.elements[i]->position;
      ReadValue(*node.elements[i], field, element, message);
    }
  }

  void ReadMap(const YamlNode& node, const FieldDescriptor& field, const std::string& path, Message* message) {
    if (!Visit(node) || node.kind == Kind::kNull) return;
    if (node.kind != Kind::kMap) {
      return errors_->Add(node.position, path,
                          absl::StrCat("must be a mapping of names to values, not ", NameOf(node.kind)));
    }
    for (const auto& [key, value] : Merged(node, 0)) {
      const std::string element = absl::StrCat(path, "[", Quoted(key->text), "]");
      (*positions_)[element] = key->position;
      Message* entry = message->GetReflection()->AddMessage(message, &field);
      ReadValue(*key, *field.message_type()->map_key(), element, entry);
      ReadValue(*value, *field.message_type()->map_value(), element, entry);
    }
  }

  // One value: sets the field, or adds to it when it is a list.
  void ReadValue(const YamlNode& node, const FieldDescriptor& field, const std::string& path, Message* message) {
    const Reflection& reflection = *message->GetReflection();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Message* inner =
          field.is_repeated() ? reflection.AddMessage(message, &field) : reflection.MutableMessage(message, &field);
      const std::string& type = field.message_type()->full_name();
      if (type == "google.protobuf.Duration" || type == "google.protobuf.Timestamp") {
        return ReadTime(node, path, inner);
      }
      return ReadMessage(node, path + ".", inner);
    }
    if (!Visit(node)) return;
    if (node.kind == Kind::kNull) {
      return errors_->Add(node.position, path, "has no value: give it one, or leave the field out");
    }
    if (node.kind != Kind::kScalar) {
      return errors_->Add(node.position, path, absl::StrCat("must be a single value, not ", NameOf(node.kind)));
    }
    const std::string expected = SetScalar(node, field, message);
    if (!expected.empty()) {
      errors_->Add(node.position, path, absl::StrCat("must be ", expected, ", not ", Quoted(node.text)));
    }
  }

  void ReadTime(const YamlNode& node, const std::string& path, Message* message) {
    if (!Visit(node)) return;
    std::string expected;
    if (message->GetDescriptor() == google::protobuf::Duration::descriptor()) {
      const std::optional<absl::Duration> duration = DurationFromText(node.text);
      if (duration.has_value()) message->CopyFrom(ToProto(*duration));
      if (!duration.has_value()) expected = "a duration from 0 to a year, as in 30s, 500ms or 2m";
    } else {
      const std::optional<google::protobuf::Timestamp> time = TimeFromText(node.text);
      if (time.has_value()) message->CopyFrom(*time);
      if (!time.has_value()) expected = "a time, as in 2026-01-31T12:00:00Z";
    }
    if (expected.empty()) return;
    const std::string given = node.kind == Kind::kScalar ? Quoted(node.text) : NameOf(node.kind);
    errors_->Add(node.position, path, absl::StrCat("must be ", expected, ", not ", given));
  }

  // "", or what it should be.
  template <typename T>
  static std::string IntegerFrom(const YamlNode& node, const FieldDescriptor& field, T* out) {
    const bool is_number = absl::SimpleAtoi(node.text, out);
    if (is_number && !absl::ascii_isspace(node.text.front()) && !absl::ascii_isspace(node.text.back())) return "";
    if (IsSizeField(field.name())) {
      const std::optional<int64_t> bytes = BytesFromText(node.text);
      if (!bytes.has_value()) return "a size, as in 65536 or 64KiB";
      if (static_cast<uint64_t>(*bytes) > static_cast<uint64_t>(std::numeric_limits<T>::max())) {
        return absl::StrCat("a size of at most ", std::numeric_limits<T>::max(), " bytes");
      }
      *out = static_cast<T>(*bytes);
      return "";
    }
    return absl::StrCat("a whole number from ", std::numeric_limits<T>::min(), " to ", std::numeric_limits<T>::max());
  }

  static std::string BoolFrom(const YamlNode& node, bool* out) {
    // Those of YAML 1.2: "yes", "on" and the like are words there.
    for (const char* word : {"true", "True", "TRUE"}) {
      if (node.text == word) return *out = true, "";
    }
    for (const char* word : {"false", "False", "FALSE"}) {
      if (node.text == word) return *out = false, "";
    }
    return "true or false";
  }

  static std::string EnumFrom(const YamlNode& node, const EnumDescriptor& type, const EnumValueDescriptor** out) {
    *out = type.FindValueByName(absl::AsciiStrToUpper(node.text));
    return *out != nullptr ? "" : absl::StrCat("one of ", NamesOf(type));
  }

  // Sets it, or says what it should be.
  static std::string SetScalar(const YamlNode& node, const FieldDescriptor& field, Message* message);

  FieldPositions* const positions_;
  FileErrors* const errors_;
  size_t visited_ = 0;
};

std::string Reader::SetScalar(const YamlNode& node, const FieldDescriptor& field, Message* message) {
  const Reflection& reflection = *message->GetReflection();
  std::string expected;
  // Reflection has a name of its own for each type, and one more for lists of it.
  const auto store = [&](auto set, auto add, auto value) {
    if (!expected.empty()) return;
    (reflection.*(field.is_repeated() ? add : set))(message, &field, value);
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t value = 0;
      expected = IntegerFrom(node, field, &value);
      store(&Reflection::SetInt32, &Reflection::AddInt32, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t value = 0;
      expected = IntegerFrom(node, field, &value);
      store(&Reflection::SetInt64, &Reflection::AddInt64, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      uint32_t value = 0;
      expected = IntegerFrom(node, field, &value);
      store(&Reflection::SetUInt32, &Reflection::AddUInt32, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t value = 0;
      expected = IntegerFrom(node, field, &value);
      store(&Reflection::SetUInt64, &Reflection::AddUInt64, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: {
      double value = 0;
      if (!absl::SimpleAtod(node.text, &value) || !std::isfinite(value)) expected = "a number";
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
        store(&Reflection::SetDouble, &Reflection::AddDouble, value);
      } else {
        store(&Reflection::SetFloat, &Reflection::AddFloat, static_cast<float>(value));
      }
      break;
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool value = false;
      expected = BoolFrom(node, &value);
      store(&Reflection::SetBool, &Reflection::AddBool, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumValueDescriptor* value = nullptr;
      expected = EnumFrom(node, *field.enum_type(), &value);
      store(&Reflection::SetEnum, &Reflection::AddEnum, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string value = node.text;
      if (field.type() == FieldDescriptor::TYPE_BYTES && !absl::Base64Unescape(node.text, &value)) {
        expected = "bytes in base64";
      }
      store(&Reflection::SetString, &Reflection::AddString, std::move(value));
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;  // ReadValue's
  }
  return expected;
}

}  // namespace

bool IsSizeField(std::string_view name) { return absl::StrContains(absl::StrCat(std::string(name), "_"), "_bytes_"); }

void ReadYaml(std::string_view text, Message* message, FieldPositions* positions, FileErrors* errors) {
  const YamlNode::Pointer root = ParseYamlTree(text, errors);
  if (root != nullptr) Reader(positions, errors).ReadMessage(*root, "", message);
}

}  // namespace greenring::control
