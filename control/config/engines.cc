#include "control/config/engines.h"

#include "absl/strings/str_cat.h"

namespace greenring::control {

bool IsAvailable(v1::Engine engine) {
  switch (engine) {
    case v1::UCONTEXT:
    case v1::FCONTEXT:
    case v1::THREAD:
      return true;
    default:
      return false;
  }
}

std::vector<v1::Engine> AvailableEngines() {
  std::vector<v1::Engine> engines;
  for (int number = v1::Engine_MIN; number <= v1::Engine_MAX; ++number) {
    const auto engine = static_cast<v1::Engine>(number);
    if (IsAvailable(engine)) engines.push_back(engine);
  }
  return engines;
}

std::string AvailableEnginesText() {
  const std::vector<v1::Engine> engines = AvailableEngines();
  std::string text;
  for (size_t i = 0; i < engines.size(); ++i) {
    const char* const separator = i == 0 ? "" : i + 1 < engines.size() ? ", " : " and ";
    absl::StrAppend(&text, separator, v1::Engine_Name(engines[i]));
  }
  return text;
}

}  // namespace greenring::control
