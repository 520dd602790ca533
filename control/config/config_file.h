// Configuration files: YAML, or Protobuf's text format for names that end in .textproto or .pbtxt.
//
//   pools:
//     - name: web                       # "pools/" is understood
//       application: {target: shop.wsgi:app, working_directory: /srv/shop}
//       async_cores: 512
//       stack_size_bytes: 256KiB        # sizes with a unit, durations as in 30s or 500ms
//
// A relative path in it is relative to the file. Never touches the network.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "greenring/control/v1/config.pb.h"

namespace greenring::control {

// Reads and checks it, with all that is wrong in the error: "greenring.yaml:12:7: pools[0].timeouts.drain: ...".
absl::StatusOr<v1::Configuration> LoadConfiguration(const std::string& path);

// Fills `message` from YAML. The errors name `path`, line, column and field; fields that do not exist are errors, with
// the name that was probably meant. Fields of type Duration take "30s"; those named *_bytes take "256KiB"; enums their
// names in any case.
absl::Status ParseYaml(std::string_view text, const std::string& path, google::protobuf::Message* message);
absl::Status ParseTextproto(std::string_view text, const std::string& path, google::protobuf::Message* message);

// As ParseTextproto, and checks each pool as LoadConfiguration does, but not whether they go together. Paths stay as
// they are, and so do fields that are not set.
absl::Status ParseCheckedPools(std::string_view text, const std::string& path, v1::Configuration* configuration);

// As ParseYaml reads it; fields in the order of their numbers, unset ones left out.
std::string ToYaml(const google::protobuf::Message& message);

}  // namespace greenring::control
