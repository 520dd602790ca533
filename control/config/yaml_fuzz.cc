// Properties of the reader on any bytes:
//   - it ends, says what is wrong in valid UTF-8, or what it read is written and read back as the same;
//   - whatever it read can be checked and filled in.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "control/config/config_file.h"
#include "control/config/pool_config.h"
#include "control/config/utf8.h"
#include "google/protobuf/util/message_differencer.h"

namespace greenring::control {
namespace {

void Check(const std::string& text) {
  v1::Configuration read;
  const absl::Status status = ParseYaml(text, "fuzz.yaml", &read);
  if (!status.ok()) {
    GREENRING_CHECK(IsUtf8(std::string(status.message())));
    return;
  }
  v1::Configuration again;
  GREENRING_CHECK(ParseYaml(ToYaml(read), "again.yaml", &again).ok());
  GREENRING_CHECK(google::protobuf::util::MessageDifferencer::Equals(read, again));
  for (const FieldViolation& violation : Validate(read)) {
    GREENRING_CHECK(IsUtf8(violation.field) && IsUtf8(violation.description));
  }
  const bool was_right = Validate(read).empty();
  FillDefaults(&read);
  GREENRING_CHECK(!was_right || ToStatus(Validate(read)).ok());
}

}  // namespace
}  // namespace greenring::control

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  greenring::control::Check(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
