#include "control/config/field_violations.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"

namespace greenring::control {
namespace {

constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";

}  // namespace

absl::Status ToStatus(const std::vector<FieldViolation>& violations, const std::string& prefix) {
  if (violations.empty()) return absl::OkStatus();
  std::string text;
  google::rpc::BadRequest details;
  for (const FieldViolation& violation : violations) {
    const std::string field = prefix + violation.field;
    absl::StrAppend(&text, text.empty() ? "" : "; ", field, ": ", violation.description);
    google::rpc::BadRequest::FieldViolation* detail = details.add_field_violations();
    detail->set_field(field);
    detail->set_description(violation.description);
  }
  absl::Status status = absl::InvalidArgumentError(text);
  status.SetPayload(kBadRequestUrl, absl::Cord(details.SerializeAsString()));
  return status;
}

std::vector<FieldViolation> FieldViolationsOf(const absl::Status& status) {
  std::vector<FieldViolation> violations;
  const absl::optional<absl::Cord> payload = status.GetPayload(kBadRequestUrl);
  google::rpc::BadRequest details;
  if (!payload.has_value() || !details.ParseFromString(std::string(*payload))) return violations;
  for (const google::rpc::BadRequest::FieldViolation& detail : details.field_violations()) {
    violations.push_back({detail.field(), detail.description()});
  }
  return violations;
}

}  // namespace greenring::control
