#include "control/service/status.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "google/rpc/status.pb.h"

namespace greenring::control {
namespace {

// What is more is refused by clients as a whole (GRPC_ARG_MAX_METADATA_SIZE): the message is there twice,
// percent-encoded once, and the details grow by a third.
constexpr size_t kMessageBytesMax = 1500;
constexpr size_t kDetailsBytesMax = 3500;

std::string Cut(absl::string_view text) {
  if (text.size() <= kMessageBytesMax) return std::string(text);
  size_t length = kMessageBytesMax;
  while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;  // within a character
  return absl::StrCat(text.substr(0, length), " [...]");
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(Cut(status.message()));
  const size_t without_payloads = details.ByteSizeLong();
  status.ForEachPayload([&details](absl::string_view type_url, const absl::Cord& payload) {
    google::protobuf::Any* detail = details.add_details();
    detail->set_type_url(std::string(type_url));
    detail->set_value(std::string(payload));
    if (details.ByteSizeLong() > kDetailsBytesMax) details.mutable_details()->RemoveLast();
  });
  if (details.ByteSizeLong() == without_payloads) return grpc::Status(code, details.message());
  return grpc::Status(code, details.message(), details.SerializeAsString());
}

}  // namespace greenring::control
