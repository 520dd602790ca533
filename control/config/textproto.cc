#include "control/config/textproto.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"

namespace greenring::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

constexpr int kDepthMax = 32;

class Collector final : public google::protobuf::io::ErrorCollector {
 public:
  explicit Collector(FileErrors* errors) : errors_(errors) {}

  // Counts from 0.
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& what) override {
    errors_->Add({line + 1, column + 1}, "", what);
  }
  void AddWarning(int line, google::protobuf::io::ColumnNumber column, const std::string& what) override {
    AddError(line, column, what);
  }

 private:
  FileErrors* const errors_;
};

void AddPositions(const Message& message, const TextFormat::ParseInfoTree& tree, const std::string& path,
                  FieldPositions* positions) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int size = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < size; ++i) {
      const int index = field->is_repeated() ? i : -1;
      const TextFormat::ParseLocation location = tree.GetLocation(field, index);
      if (location.line < 0) continue;
      const FilePosition position = {location.line + 1, location.column + 1};
      const std::string field_path = path + field->name();
      std::string element = field_path;
      positions->emplace(field_path, position);
      if (field->is_map()) {
        // Its entries may have changed places: that of the whole has to do.
        continue;
      }
      if (field->is_repeated()) element = absl::StrCat(field_path, "[", i, "]");
      positions->emplace(element, position);
      if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
      const Message& inner = field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                                  : reflection.GetMessage(message, field);
      const TextFormat::ParseInfoTree* nested = tree.GetTreeForNested(field, index);
      if (nested != nullptr) AddPositions(inner, *nested, element + ".", positions);
    }
  }
}

}  // namespace

void ReadTextproto(std::string_view text, Message* message, FieldPositions* positions, FileErrors* errors) {
  Collector collector(errors);
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&collector);
  parser.WriteLocationsTo(&tree);
  parser.SetRecursionLimit(kDepthMax);
  const bool is_read = parser.ParseFromString(std::string(text), message);
  if (!is_read && errors->empty()) errors->Add({}, "", "is not in Protobuf's text format");
  if (is_read) AddPositions(*message, tree, "", positions);
}

}  // namespace greenring::control
