// The desired state of a whole server, and how a configuration file and what was changed over the API make it.
//
// The file says what its pools are, until one is changed over the API: from then on the API's word holds for that pool,
// also for a next start. So a state directory has the pools that were changed, created or deleted over the API, and
// only those: what nobody has touched follows the file.
//
//   DesiredState state = CombineWithFile(file.pools(), kept);    // at the start; `kept`: from the state directory
//   state.touched.insert("pools/web");                           // it was changed over the API
//   v1::Configuration kept = state.ToKeep(pools);                // for the state directory
//
// Pure: no disk.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "google/protobuf/repeated_ptr_field.h"
#include "greenring/control/v1/config.pb.h"
#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

struct DesiredState {
  std::map<std::string, v1::Pool> pools;    // to be run, by name
  std::set<std::string> touched;            // over the API
  std::map<std::string, v1::Pool> deleted;  // over the API, as they were last
  std::vector<std::string> warnings;        // where the file and the API's word differ

  // A pool that was deleted is kept with the state DELETING: the file may have it still.
  v1::Configuration ToKeep(const std::vector<v1::Pool>& pools) const;
};

DesiredState CombineWithFile(const google::protobuf::RepeatedPtrField<v1::Pool>& file, const v1::Configuration& kept);

}  // namespace greenring::control
