// Which of the descriptors that have come over the link (base/descriptor_message.h) belong to what.
//
//   std::vector<UniqueFd> sockets = TakeFirst(&descriptors, DescriptorsOf(routes));
//
// Any thread. Never parks.
#pragma once

#include <cstddef>
#include <vector>

#include "base/unique_fd.h"
#include "greenring/worker/v1/link.pb.h"

namespace greenring::worker {

// How many come with `routes` (link.proto).
inline size_t DescriptorsOf(const v1::ToWorker::Routes& routes) {
  return static_cast<size_t>(routes.has_inbox() ? 1 : 0) + static_cast<size_t>(routes.pools_size());
}

// Takes the first `count` out of `descriptors`, which has so many.
std::vector<UniqueFd> TakeFirst(std::vector<UniqueFd>* descriptors, size_t count);

}  // namespace greenring::worker
