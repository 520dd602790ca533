// ToYaml: messages as YAML, by their descriptors. Layout and quoting are yaml-cpp's.
#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "control/config/config_file.h"
#include "control/config/quantities.h"
#include "control/config/yaml_reader.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/timestamp.pb.h"
#include "yaml-cpp/emitter.h"
#include "yaml-cpp/emittermanip.h"

namespace greenring::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

// Text that every reader of YAML takes for a text without quotes: no number, no word of YAML 1.1 or 1.2.
bool IsPlain(const std::string& text) {
  const auto is_first = [](unsigned char c) { return absl::ascii_isalpha(c) || c == '/' || c == '_'; };
  const auto is_safe = [](unsigned char c) {
    return absl::ascii_isalnum(c) ||
           std::string_view("/_-.:@+=()").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (text.empty() || !is_first(text.front()) || text.back() == ':' ||
      !std::all_of(text.begin(), text.end(), is_safe)) {
    return false;
  }
  for (const char* word : {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    if (absl::AsciiStrToLower(text) == word) return false;
  }
  return true;
}

void WriteText(const std::string& text, YAML::Emitter* out) {
  if (!IsPlain(text)) *out << YAML::DoubleQuoted;
  *out << text;
}

void WriteMessage(const Message& message, YAML::Emitter* out);

// The shortest text that is read back as the same.
template <typename T>
std::string NumberText(T value) {
  char text[64];
  const std::to_chars_result result = std::to_chars(text, text + sizeof(text), value);
  return std::string(text, result.ptr);
}

// Value `index` of a list, or with -1 the field's own.
void WriteValue(const Message& message, const FieldDescriptor* field, int index, YAML::Emitter* out) {
  const Reflection* reflection = message.GetReflection();
  const auto get = [&](auto one, auto repeated) {
    return index < 0 ? (reflection->*one)(message, field) : (reflection->*repeated)(message, field, index);
  };
  const auto write_integer = [&](auto value) {
    if (IsSizeField(field->name()) && value > 0) {
      *out << BytesText(static_cast<int64_t>(value));
    } else {
      *out << absl::StrCat(value);
    }
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return write_integer(get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32));
    case FieldDescriptor::CPPTYPE_INT64:
      return write_integer(get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64));
    case FieldDescriptor::CPPTYPE_UINT32:
      return write_integer(get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32));
    case FieldDescriptor::CPPTYPE_UINT64:
      *out << absl::StrCat(get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64));
      return;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      *out << NumberText(get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble));
      return;
    case FieldDescriptor::CPPTYPE_FLOAT:
      *out << NumberText(get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat));
      return;
    case FieldDescriptor::CPPTYPE_BOOL:
      *out << (get(&Reflection::GetBool, &Reflection::GetRepeatedBool) ? "true" : "false");
      return;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int number = get(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue);
      const auto* value = field->enum_type()->FindValueByNumber(number);
      *out << (value != nullptr ? value->name() : absl::StrCat(number));
      return;
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text = get(&Reflection::GetString, &Reflection::GetRepeatedString);
      WriteText(field->type() == FieldDescriptor::TYPE_BYTES ? absl::Base64Escape(text) : text, out);
      return;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return WriteMessage(
          index < 0 ? reflection->GetMessage(message, field) : reflection->GetRepeatedMessage(message, field, index),
          out);
  }
}

// Numbers by their size, texts by their bytes.
std::pair<int64_t, std::string> SortKey(const Message& entry, const FieldDescriptor* key) {
  std::string text;
  int64_t number = 0;
  TextFormat::PrintFieldValueToString(entry, key, -1, &text);
  if (!absl::SimpleAtoi(text, &number)) number = 0;
  return {number, std::move(text)};
}

// By key, so that the same message has the same text.
void WriteMap(const Message& message, const FieldDescriptor* field, YAML::Emitter* out) {
  const Reflection* reflection = message.GetReflection();
  const FieldDescriptor* key = field->message_type()->map_key();
  std::vector<const Message*> entries;
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    entries.push_back(&reflection->GetRepeatedMessage(message, field, i));
  }
  std::sort(entries.begin(), entries.end(),
            [key](const Message* a, const Message* b) { return SortKey(*a, key) < SortKey(*b, key); });
  *out << YAML::BeginMap;
  for (const Message* entry : entries) {
    *out << YAML::Key;
    WriteValue(*entry, key, -1, out);
    *out << YAML::Value;
    WriteValue(*entry, field->message_type()->map_value(), -1, out);
  }
  *out << YAML::EndMap;
}

void WriteMessage(const Message& message, YAML::Emitter* out) {
  if (const auto* duration = dynamic_cast<const google::protobuf::Duration*>(&message)) {
    *out << DurationText(FromProto(*duration));
    return;
  }
  if (const auto* time = dynamic_cast<const google::protobuf::Timestamp*>(&message)) {
    *out << YAML::DoubleQuoted << TimeText(*time);
    return;
  }
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  if (fields.empty()) *out << YAML::Flow;
  *out << YAML::BeginMap;
  for (const FieldDescriptor* field : fields) {
    *out << YAML::Key << field->name() << YAML::Value;
    if (field->is_map()) {
      WriteMap(message, field, out);
    } else if (!field->is_repeated()) {
      WriteValue(message, field, -1, out);
    } else {
      *out << YAML::BeginSeq;
      for (int i = 0; i < reflection->FieldSize(message, field); ++i) WriteValue(message, field, i, out);
      *out << YAML::EndSeq;
    }
  }
  *out << YAML::EndMap;
}

}  // namespace

std::string ToYaml(const Message& message) {
  YAML::Emitter out;
  WriteMessage(message, &out);
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace greenring::control
