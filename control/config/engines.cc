#include "control/config/engines.h"

namespace greenring::control {

std::vector<v1::Engine> AvailableEngines() {
  std::vector<v1::Engine> engines;
  for (int number = v1::Engine_MIN; number <= v1::Engine_MAX; ++number) {
    const auto engine = static_cast<v1::Engine>(number);
    if (v1::Engine_IsValid(number) && engine != v1::ENGINE_UNSPECIFIED) engines.push_back(engine);
  }
  return engines;
}

}  // namespace greenring::control
