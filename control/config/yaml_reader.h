// Fills messages from YAML, by their descriptors. See config_file.h for what may be written.
//
//   FileErrors errors(path);
//   FieldPositions positions;
//   ReadYaml(text, &message, &positions, &errors);
//
// Thread-safe; never blocks.
#pragma once

#include <string_view>

#include "control/config/file_position.h"
#include "google/protobuf/message.h"

namespace greenring::control {

// Says where each field was set, and all that is wrong; `message` then holds what was right.
void ReadYaml(std::string_view text, google::protobuf::Message* message, FieldPositions* positions, FileErrors* errors);

// Fields that hold sizes: stack_size_bytes, rss_bytes_max.
bool IsSizeField(std::string_view name);

}  // namespace greenring::control
