#include "tools/greenctl/session.h"

#include <utility>

#include "control/config/config_file.h"
#include "google/protobuf/util/json_util.h"

namespace greenring::greenctl {
namespace {

// Fields have the names of the .proto files, and none is left out because it is zero: scripts need no defaults.
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message, bool lines) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  options.add_whitespace = lines;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) return absl::InternalError("the answer cannot be written as JSON: " + status.ToString());
  return json;
}

}  // namespace

Session::Session(Options options, Environment* environment)
    : options_(std::move(options)), environment_(environment), deadline_(absl::Now() + options_.timeout) {}

absl::StatusOr<Client*> Session::client() {
  if (client_ == nullptr) {
    absl::StatusOr<std::unique_ptr<Client>> client = Client::Create(options_.connection, deadline_);
    if (!client.ok()) return client.status();
    client_ = *std::move(client);
  }
  return client_.get();
}

bool Session::structured() const {
  return options_.format == OutputFormat::kJson || options_.format == OutputFormat::kYaml;
}

absl::Status Session::PrintDocument(const google::protobuf::Message& message) {
  if (options_.format == OutputFormat::kYaml) {
    out() << control::ToYaml(message);
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> json = ToJson(message, /*lines=*/true);
  if (json.ok()) out() << *json;
  return json.status();
}

absl::Status Session::PrintDocumentLine(const google::protobuf::Message& message) {
  absl::StatusOr<std::string> json = ToJson(message, /*lines=*/false);
  if (json.ok()) out() << *json << std::endl;
  return json.status();
}

void Session::Print(const Table& table) {
  const bool cut = environment_->out_is_terminal && options_.format != OutputFormat::kWide;
  table.Print(out(), cut ? environment_->columns : 0);
}

void Session::Say(const std::string& line) {
  if (!options_.quiet) out() << line << std::endl;
}

}  // namespace greenring::greenctl
