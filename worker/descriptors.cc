#include "worker/descriptors.h"

#include <cstddef>
#include <iterator>

namespace greenring::worker {

std::vector<UniqueFd> TakeFirst(std::vector<UniqueFd>* descriptors, size_t count) {
  const auto end = descriptors->begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<UniqueFd> taken(std::make_move_iterator(descriptors->begin()), std::make_move_iterator(end));
  descriptors->erase(descriptors->begin(), end);
  return taken;
}

}  // namespace greenring::worker
