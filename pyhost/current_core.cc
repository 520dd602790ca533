#include "pyhost/current_core.h"

#include "pyhost/current_request.h"

namespace greenring::pyhost {
namespace {

constinit CurrentCore::Finder finder = nullptr;

}  // namespace

CurrentCore* CurrentCore::Get() {
  if (finder != nullptr) {
    if (CurrentCore* const found = finder()) return found;
  }
  const CurrentRequest* const request = CurrentRequest::Current();
  return request != nullptr ? request->parts().core : nullptr;
}

void CurrentCore::SetFinder(Finder function) { finder = function; }

}  // namespace greenring::pyhost
