// A YAML document as a tree whose nodes know where they are. Reading is yaml-cpp's; the limits are ours: whatever the
// text holds, it takes time and memory in proportion to its size.
//
//   FileErrors errors(path);
//   std::shared_ptr<const YamlNode> root = ParseYamlTree(text, &errors);      // null: see errors
//
// Thread-safe; never blocks.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/config/file_position.h"

namespace greenring::control {

// A configuration of a thousand pools is a tenth of that.
inline constexpr size_t kYamlBytesMax = 4 << 20;
// Of the text, and of what is read from it with every alias written out.
inline constexpr size_t kYamlNodesMax = 100'000;
inline constexpr int kYamlDepthMax = 32;

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  using Pointer = std::shared_ptr<const YamlNode>;  // aliases share what they name

  Kind kind = Kind::kNull;
  FilePosition position;
  std::string text;                                  // kScalar
  bool is_quoted = false;                            // kScalar: in quotes, or a block
  std::vector<Pointer> elements;                     // kSequence
  std::vector<std::pair<Pointer, Pointer>> entries;  // kMap: as written, "<<" not yet merged; no key is there twice
};

// An empty text is a kNull.
YamlNode::Pointer ParseYamlTree(std::string_view text, FileErrors* errors);

}  // namespace greenring::control
