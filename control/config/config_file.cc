#include "control/config/config_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/config/file_position.h"
#include "control/config/pool_config.h"
#include "control/config/textproto.h"
#include "control/config/yaml_reader.h"
#include "control/config/yaml_tree.h"

namespace greenring::control {
namespace {

using google::protobuf::Message;

constexpr std::string_view kUnixPrefix = "unix:";

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const auto failed = [&path](const std::string& why) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read: ", why));
  };
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return failed("it is a directory");
  std::ifstream file(path, std::ios::binary);
  if (!file) return failed(std::strerror(errno));
  // One byte more than is possible: a pipe that never ends is found out as well.
  std::string text(kYamlBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return failed(std::strerror(errno));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

bool IsTextproto(const std::string& path) {
  return absl::EndsWith(path, ".textproto") || absl::EndsWith(path, ".pbtxt");
}

// Relative paths begin where the file is.
class PathBase {
 public:
  explicit PathBase(const std::string& file) {
    std::error_code error;
    directory_ = std::filesystem::absolute(file, error).parent_path();
  }

  void Resolve(std::string* path) const {
    if (path->empty() || path->front() == '/') return;
    std::filesystem::path resolved = (directory_ / *path).lexically_normal();
    if (!resolved.has_filename()) resolved = resolved.parent_path();
    *path = resolved.string();
  }
  void ResolveLog(std::string* path) const {
    if (*path != "-") Resolve(path);
  }
  void ResolveAddress(std::string* address) const {
    if (!absl::StartsWith(*address, absl::string_view(kUnixPrefix.data(), kUnixPrefix.size()))) return;
    std::string path = address->substr(kUnixPrefix.size());
    Resolve(&path);
    *address = absl::StrCat(std::string(kUnixPrefix), path);
  }

 private:
  std::filesystem::path directory_;
};

void ResolvePaths(const PathBase& base, v1::Pool* pool) {
  if (pool->has_application()) {
    v1::Application* application = pool->mutable_application();
    base.Resolve(application->mutable_working_directory());
    base.Resolve(application->mutable_virtualenv());
    for (std::string& path : *application->mutable_python_path()) base.Resolve(&path);
  }
  for (v1::Listener& listener : *pool->mutable_listeners()) base.ResolveAddress(listener.mutable_address());
  if (pool->has_logging()) {
    base.ResolveLog(pool->mutable_logging()->mutable_access_log());
    base.ResolveLog(pool->mutable_logging()->mutable_error_log());
  }
}

void ResolvePaths(const PathBase& base, v1::Configuration* configuration) {
  for (v1::Pool& pool : *configuration->mutable_pools()) ResolvePaths(base, &pool);
  if (configuration->has_control()) {
    v1::Control* control = configuration->mutable_control();
    for (std::string& address : *control->mutable_addresses()) base.ResolveAddress(&address);
    base.Resolve(control->mutable_tls_certificate());
    base.Resolve(control->mutable_tls_key());
    base.Resolve(control->mutable_tls_client_ca());
  }
  base.Resolve(configuration->mutable_state_directory());
  base.Resolve(configuration->mutable_pid_file());
}

void AddViolations(const std::vector<FieldViolation>& violations, const std::string& prefix,
                   const FieldPositions& positions, FileErrors* errors) {
  for (const FieldViolation& violation : violations) {
    const std::string field = prefix + violation.field;
    errors->Add(PositionOf(positions, field), field, violation.description);
  }
}

}  // namespace

absl::Status ParseYaml(std::string_view text, const std::string& path, Message* message) {
  FileErrors errors(path);
  FieldPositions positions;
  ReadYaml(text, message, &positions, &errors);
  return errors.ToStatus();
}

absl::Status ParseTextproto(std::string_view text, const std::string& path, Message* message) {
  FileErrors errors(path);
  FieldPositions positions;
  ReadTextproto(text, message, &positions, &errors);
  return errors.ToStatus();
}

absl::Status ParseCheckedPools(std::string_view text, const std::string& path, v1::Configuration* configuration) {
  FileErrors errors(path);
  FieldPositions positions;
  ReadTextproto(text, configuration, &positions, &errors);
  if (absl::Status status = errors.ToStatus(); !status.ok()) return status;
  for (int i = 0; i < configuration->pools_size(); ++i) {
    AddViolations(Validate(configuration->pools(i)), absl::StrCat("pools[", i, "]."), positions, &errors);
  }
  return errors.ToStatus();
}

absl::StatusOr<v1::Configuration> LoadConfiguration(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  FileErrors errors(path);
  FieldPositions positions;
  v1::Configuration configuration;
  if (text->size() > kYamlBytesMax) {
    errors.Add({}, "", absl::StrCat("is larger than ", kYamlBytesMax >> 20, " MiB"));
  } else if (IsTextproto(path)) {
    ReadTextproto(*text, &configuration, &positions, &errors);
  } else {
    ReadYaml(*text, &configuration, &positions, &errors);
  }
  // What is wrong with a field's value is said only of fields that could be read, and of all of them.
  if (absl::Status status = errors.ToStatus(); !status.ok()) return status;
  ResolvePaths(PathBase(path), &configuration);
  AddViolations(Validate(configuration), "", positions, &errors);
  if (absl::Status status = errors.ToStatus(); !status.ok()) return status;
  FillDefaults(&configuration);
  return configuration;
}

}  // namespace greenring::control
