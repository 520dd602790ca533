// docs/CONFIGURATION.md has every field and every flag, and says the same of them as the code. examples/ are right.
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/config/config_file.h"
#include "control/config/flag_table.h"
#include "control/config/pool_fields.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

std::string Documentation() {
  std::ifstream file("docs/CONFIGURATION.md");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The rows of its tables that begin with a field, by the field: their cells.
std::map<std::string, std::vector<std::string>> Rows() {
  std::map<std::string, std::vector<std::string>> rows;
  for (const absl::string_view line : absl::StrSplit(Documentation(), '\n')) {
    if (!absl::StartsWith(line, "| `")) continue;
    std::vector<std::string> cells;
    for (const absl::string_view cell : absl::StrSplit(line.substr(1), '|')) {
      cells.emplace_back(absl::StripAsciiWhitespace(cell));
    }
    cells.pop_back();  // what follows the last |
    const std::string field = cells[0].substr(1, cells[0].size() - 2);
    EXPECT_TRUE(rows.emplace(field, cells).second) << field << " is there twice";
  }
  return rows;
}

// The fields that can be configured, as the documentation writes them: "listeners[].address".
void AddFields(const Descriptor& type, const std::string& prefix, std::set<std::string>* fields) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (&type == v1::Configuration::descriptor() && field.name() == "pools") continue;
    if (&type == v1::Pool::descriptor() && KindOfField(field.name()) == PoolFieldKind::kOutputOnly) continue;
    const bool is_group = field.message_type() != nullptr && !field.is_map() &&
                          field.message_type()->file()->package() != "google.protobuf";
    const std::string path = absl::StrCat(prefix, field.name());
    if (is_group) {
      AddFields(*field.message_type(), absl::StrCat(path, field.is_repeated() ? "[]." : "."), fields);
    } else {
      fields->insert(path);
    }
  }
}

TEST(DocumentationTest, EveryFieldHasItsRowAndNoOther) {
  std::set<std::string> fields;
  AddFields(*v1::Pool::descriptor(), "", &fields);
  AddFields(*v1::Configuration::descriptor(), "", &fields);
  std::set<std::string> documented;
  for (const auto& [field, cells] : Rows()) documented.insert(field);
  EXPECT_EQ(documented, fields);
}

TEST(DocumentationTest, WhatIsLiveIsCalledLive) {
  std::set<std::string> fields;
  AddFields(*v1::Pool::descriptor(), "", &fields);
  const std::map<std::string, std::vector<std::string>> rows = Rows();
  for (const std::string& field : fields) {
    if (rows.count(field) == 0) continue;  // the test above tells
    const PoolFieldKind kind = KindOfField(absl::StrContains(field, "[]") ? field.substr(0, field.find('[')) : field);
    const bool is_live = kind == PoolFieldKind::kLive || kind == PoolFieldKind::kCores;
    EXPECT_EQ(rows.at(field)[2], is_live ? "LIVE" : kind == PoolFieldKind::kStart ? "START" : "") << field;
  }
}

TEST(DocumentationTest, EveryFlagIsThereInTheRowOfItsField) {
  const std::string text = Documentation();
  for (const Flag& flag : Flags()) {
    const std::string name = absl::StrCat("`--", flag.name, "`");
    const std::string with_value = absl::StrCat("`--", flag.name, "=");
    EXPECT_TRUE(absl::StrContains(text, name) || absl::StrContains(text, with_value)) << flag.name;
    for (const auto& [field, cells] : Rows()) {
      if (field != flag.field) continue;
      EXPECT_TRUE(absl::StrContains(cells[cells.size() - 2], name)) << flag.name;
    }
  }
}

TEST(DocumentationTest, TheExampleIsRight) {
  const absl::StatusOr<v1::Configuration> example = LoadConfiguration("examples/greenring.yaml");
  ASSERT_TRUE(example.ok()) << std::string(example.status().message());
  EXPECT_EQ(example->pools_size(), 2);
}

}  // namespace
}  // namespace greenring::control
