#include "control/config/yaml_tree.h"

#include <map>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "control/config/utf8.h"
#include "control/config/violation_list.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/mark.h"
#include "yaml-cpp/parser.h"

namespace greenring::control {
namespace {

FilePosition PositionOfMark(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {mark.line + 1, mark.column + 1};
}

// Ends the parse where a limit is met, or what cannot be right begins.
[[noreturn]] void Refuse(const YAML::Mark& mark, const std::string& why) { throw YAML::ParserException(mark, why); }

class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(FileErrors* errors) : errors_(errors) {}

  YamlNode::Pointer TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    std::shared_ptr<YamlNode> node = NewNode(mark);
    // The mark is that of what comes next, lines below maybe.
    if (!levels_.empty() && levels_.back().key != nullptr) node->position = levels_.back().key->position;
    Finish(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) Refuse(mark, "an alias must not be within what it names");
    Attach(found->second, mark);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    std::shared_ptr<YamlNode> node = NewNode(mark);
    node->kind = YamlNode::Kind::kScalar;
    node->text = value;
    node->is_quoted = tag == "!";
    Finish(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kSequence);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Level {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor;
    YamlNode::Pointer key;  // of a map whose value comes next
    std::set<std::string> keys;
  };

  static void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    const bool is_plain = tag.empty() || tag == "?" || tag == "!";
    if (!is_plain) Refuse(mark, absl::StrCat("the tag ", Quoted(tag), " means nothing here: leave it out"));
  }

  std::shared_ptr<YamlNode> NewNode(const YAML::Mark& mark) {
    if (++node_count_ > kYamlNodesMax) Refuse(mark, absl::StrCat("more than ", kYamlNodesMax, " values"));
    auto node = std::make_shared<YamlNode>();
    node->position = PositionOfMark(mark);
    return node;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    CheckTag(mark, tag);
    if (levels_.size() >= kYamlDepthMax) Refuse(mark, absl::StrCat("nested more than ", kYamlDepthMax, " deep"));
    std::shared_ptr<YamlNode> node = NewNode(mark);
    node->kind = kind;
    levels_.push_back({std::move(node), anchor, nullptr, {}});
  }

  void Close() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    Finish(std::move(level.node), level.anchor);
  }

  void Finish(YamlNode::Pointer node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    const FilePosition position = node->position;
    YAML::Mark mark;
    mark.line = position.line - 1;
    mark.column = position.column - 1;
    Attach(std::move(node), mark);
  }

  void Attach(YamlNode::Pointer node, const YAML::Mark& mark) {
    if (levels_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = levels_.back();
    if (level.node->kind == YamlNode::Kind::kSequence) {
      level.node->elements.push_back(std::move(node));
    } else if (level.key == nullptr) {
      if (node->kind != YamlNode::Kind::kScalar) Refuse(mark, "a key must be a word");
      level.key = std::move(node);
    } else {
      AddEntry(&level, std::move(node));
    }
  }

  void AddEntry(Level* level, YamlNode::Pointer value) {
    if (level->keys.insert(level->key->text).second) {
      level->node->entries.emplace_back(std::move(level->key), std::move(value));
    } else {
      errors_->Add(level->key->position, "", absl::StrCat("the key ", Quoted(level->key->text), " is there twice"));
    }
    level->key = nullptr;
  }

  FileErrors* const errors_;
  std::vector<Level> levels_;
  std::map<YAML::anchor_t, YamlNode::Pointer> anchors_;
  YamlNode::Pointer root_;
  size_t node_count_ = 0;
};

// What YAML does not allow, and yaml-cpp takes for the end of the text or makes something of.
bool CheckBytes(std::string_view text, FileErrors* errors) {
  const size_t invalid = FirstInvalidUtf8(text);
  size_t end = invalid;
  for (size_t i = 0; i < end; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool is_control = byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r';
    if (is_control) end = i;
  }
  if (end == text.size()) return true;
  FilePosition position = {1, 1};
  for (const char c : text.substr(0, end)) {
    position.column = c == '\n' ? 1 : position.column + 1;
    position.line += c == '\n' ? 1 : 0;
  }
  errors->Add(position, "", end == invalid ? "is not UTF-8 from here on" : "has a control character");
  return false;
}

}  // namespace

YamlNode::Pointer ParseYamlTree(std::string_view text, FileErrors* errors) {
  if (text.size() > kYamlBytesMax) {
    errors->Add({}, "", absl::StrCat("is larger than ", kYamlBytesMax >> 20, " MiB"));
    return nullptr;
  }
  if (!CheckBytes(text, errors)) return nullptr;
  // yaml-cpp takes the text's last line break for the end of a quoted scalar that has none. With this it is an error.
  std::istringstream stream(absl::StrCat(std::string(text), text.ends_with('\n') ? "" : "\n", "...\n"));
  TreeBuilder builder(errors);
  try {
    YAML::Parser parser(stream);
    const bool any = parser.HandleNextDocument(builder);
    YamlNode::Pointer root = builder.TakeRoot();
    TreeBuilder rest(errors);
    if (parser.HandleNextDocument(rest)) {
      errors->Add({}, "", "holds more than one document (---): one is possible");
      return nullptr;
    }
    if (!any || root == nullptr) return std::make_shared<YamlNode>();
    return root;
  } catch (const YAML::Exception& error) {
    const bool is_added = error.msg == YAML::ErrorMsg::DOC_IN_SCALAR && error.mark.pos >= static_cast<int>(text.size());
    errors->Add(PositionOfMark(error.mark), "", is_added ? "the file ends within quotes" : error.msg);
    return nullptr;
  }
}

}  // namespace greenring::control
