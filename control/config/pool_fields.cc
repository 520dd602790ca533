#include "control/config/pool_fields.h"

#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace greenring::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void Clear(Message* message, std::string_view path) {
  const size_t dot = path.find('.');
  const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
  const Reflection* reflection = message->GetReflection();
  if (dot == std::string_view::npos) {
    reflection->ClearField(message, field);
  } else if (reflection->HasField(*message, field)) {
    Clear(reflection->MutableMessage(message, field), path.substr(dot + 1));
  }
}

}  // namespace

const std::vector<PoolField>& PoolFields() {
  using Kind = PoolFieldKind;
  static const auto& fields = *new std::vector<PoolField>{
      {"name", Kind::kName},
      {"generation", Kind::kOutputOnly},
      {"etag", Kind::kOutputOnly},
      {"create_time", Kind::kOutputOnly},
      {"update_time", Kind::kOutputOnly},
      {"application", Kind::kStart},
      {"listeners", Kind::kStart},
      {"routes", Kind::kLive},
      {"workers", Kind::kLive},
      {"async_cores", Kind::kCores},
      {"engine", Kind::kCores},
      {"stack_size_bytes", Kind::kCores},
      {"stack_pages", Kind::kCores},
      {"queue_depth_max", Kind::kLive},
      {"python_threads", Kind::kStart},
      {"time_slice", Kind::kStart},
      {"audit", Kind::kStart},
      {"cpu_affinity", Kind::kStart},
      {"timeouts", Kind::kLive},
      {"limits", Kind::kLive},
      {"recycling", Kind::kLive},
      {"logging.access_log", Kind::kStart},
      {"logging.error_log", Kind::kStart},
      {"logging.format", Kind::kLive},
      {"probes", Kind::kLive},
      {"uwsgi_api", Kind::kStart},
      {"gevent", Kind::kStart},
      {"cancel_on_disconnect", Kind::kLive},
      {"user", Kind::kStart},
      {"group", Kind::kStart},
      {"drained", Kind::kDrained},
      {"status", Kind::kOutputOnly},
  };
  return fields;
}

PoolFieldKind KindOfField(std::string_view path) {
  bool live = true;
  for (const PoolField& field : PoolFields()) {
    const std::string inside = field.path + ".";
    if (path == field.path || path.substr(0, inside.size()) == inside) return field.kind;
    // A message whose fields are of several kinds, as "logging": what costs most.
    if (std::string_view(field.path).substr(0, path.size() + 1) == std::string(path) + ".") {
      live = live && field.kind == PoolFieldKind::kLive;
    }
  }
  return live ? PoolFieldKind::kLive : PoolFieldKind::kStart;
}

v1::Pool Without(const v1::Pool& pool, const std::function<bool(PoolFieldKind)>& is_cleared) {
  v1::Pool rest = pool;
  for (const PoolField& field : PoolFields()) {
    if (is_cleared(field.kind)) Clear(&rest, field.path);
  }
  return rest;
}

std::string DeterministicBytes(const Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream output(&stream);
  output.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&output);
  output.Trim();
  return bytes;
}

}  // namespace greenring::control
