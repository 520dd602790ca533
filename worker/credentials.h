// Gives up root for the user and group that a pool is to run as.
//
//   if (absl::Status status = BecomeUser("www-data", ""); !status.ok()) ...
//
// Before other OS threads are there, and before anything is opened that belongs to the user. Never parks.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace greenring::worker {

// `user` and `group` are names or numbers; an empty group is the user's own, an empty user keeps the present one. The
// supplementary groups are those of the user (initgroups), or none for a number that has no name. Both empty: nothing
// is done. The error names what is wrong: INVALID_ARGUMENT when there is no such user or group, PERMISSION_DENIED when
// this process is not allowed to.
//
// The kernel takes back what was asked of it by prctl(PR_SET_PDEATHSIG); core dumps and /proc/self stay allowed.
absl::Status BecomeUser(const std::string& user, const std::string& group);

}  // namespace greenring::worker
