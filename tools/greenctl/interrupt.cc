#include "tools/greenctl/interrupt.h"

#include <utility>

namespace greenring::greenctl {

Interrupt::Handler::Handler(Interrupt* interrupt, std::function<void()> function) : interrupt_(interrupt) {
  absl::MutexLock lock(&interrupt_->mutex_);
  interrupt_->function_ = std::move(function);
  interrupt_->called_ = false;
}

Interrupt::Handler::~Handler() {
  absl::MutexLock lock(&interrupt_->mutex_);
  interrupt_->function_ = nullptr;
}

bool Interrupt::Trigger() {
  absl::MutexLock lock(&mutex_);
  if (!function_ || called_) return false;
  called_ = true;
  function_();
  return true;
}

}  // namespace greenring::greenctl
