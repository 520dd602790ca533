#include "control/desired_state.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/config/pool_config.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/message_differencer.h"

namespace greenring::control {
namespace {

bool IsOutputOnly(const std::string& field) {
  return field == "generation" || field == "etag" || field == "create_time" || field == "update_time" ||
         field == "status";
}

// The names of the fields that differ: "workers, timeouts".
std::string Differences(const v1::Pool& left, const v1::Pool& right) {
  std::vector<std::string> names;
  const google::protobuf::Descriptor* descriptor = v1::Pool::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = descriptor->field(i);
    if (IsOutputOnly(field->name())) continue;
    google::protobuf::util::MessageDifferencer differencer;
    if (!differencer.CompareWithFields(left, right, {field}, {field})) names.push_back(field->name());
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace

v1::Configuration DesiredState::ToKeep(const std::vector<v1::Pool>& pools) const {
  v1::Configuration kept;
  for (const v1::Pool& pool : pools) {
    if (!touched.contains(pool.name())) continue;
    v1::Pool* copy = kept.add_pools();
    *copy = pool;
    copy->clear_status();
    copy->clear_etag();
  }
  for (const auto& [name, pool] : deleted) {
    v1::Pool* copy = kept.add_pools();
    *copy = pool;
    copy->clear_etag();
    copy->clear_status();
    // Its addresses are free for others.
    copy->clear_listeners();
    copy->add_listeners()->set_address("127.0.0.1:0");
    copy->mutable_status()->set_state(v1::PoolStatus::DELETING);
  }
  return kept;
}

DesiredState CombineWithFile(const google::protobuf::RepeatedPtrField<v1::Pool>& file, const v1::Configuration& kept) {
  DesiredState state;
  for (const v1::Pool& pool : file) state.pools[pool.name()] = pool;
  for (v1::Pool pool : kept.pools()) {
    const std::string name = pool.name();
    const auto in_file = state.pools.find(name);
    if (pool.status().state() == v1::PoolStatus::DELETING) {
      if (in_file == state.pools.end()) continue;  // nobody asks for it any more
      state.warnings.push_back(
          absl::StrCat(name, " was deleted over the API: what the configuration says of it is not used"));
      state.pools.erase(in_file);
      state.deleted[name] = std::move(pool);
      continue;
    }
    pool.clear_status();
    if (in_file != state.pools.end()) {
      const std::string differences = Differences(in_file->second, pool);
      if (!differences.empty()) {
        state.warnings.push_back(
            absl::StrCat(name, " was changed over the API, and differs from the configuration in: ", differences));
      }
    }
    state.touched.insert(name);
    state.pools[name] = std::move(pool);
  }
  return state;
}

}  // namespace greenring::control
