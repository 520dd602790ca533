// Protobuf's text format, with the positions of what it sets.
#pragma once

#include <string_view>

#include "control/config/file_position.h"
#include "google/protobuf/message.h"

namespace greenring::control {

// Says where each field was set, and all that is wrong. Thread-safe; never blocks.
void ReadTextproto(std::string_view text, google::protobuf::Message* message, FieldPositions* positions,
                   FileErrors* errors);

}  // namespace greenring::control
