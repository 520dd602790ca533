#include "pyhost/current_core.h"

#include "pyhost/current_request.h"

namespace greenring::pyhost {

CurrentCore* CurrentCore::Get() {
  const CurrentRequest* const request = CurrentRequest::Current();
  return request != nullptr ? request->parts().core : nullptr;
}

}  // namespace greenring::pyhost
