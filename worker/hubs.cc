#include "worker/hubs.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace greenring::worker {
namespace {

void StopIfThere(pyhost::Hub* hub, std::function<void()> on_ended) {
  if (hub == nullptr) return on_ended();
  hub->Stop(std::move(on_ended));
}

}  // namespace

Hubs::Hubs(green::Scheduler* scheduler, size_t stack_size_bytes, pyhost::ErrorLog* error_log)
    : scheduler_(scheduler), stack_size_bytes_(std::max(stack_size_bytes, kStackSizeBytesMin)), error_log_(error_log) {}

Hubs::~Hubs() = default;

std::unique_ptr<pyhost::Hub> Hubs::New(CoreEngine engine) const {
  return engine == CoreEngine::kGevent ? pyhost::NewGeventHub(scheduler_, stack_size_bytes_, error_log_)
                                       : pyhost::NewGreenletHub(scheduler_, stack_size_bytes_, error_log_);
}

pyhost::Hub* Hubs::Of(CoreEngine engine) {
  GREENRING_CHECK(HasHub(engine));
  std::unique_ptr<pyhost::Hub>& hub = engine == CoreEngine::kGevent ? gevent_ : greenlet_;
  if (hub != nullptr && hub->lost()) lost_.push_back(std::move(hub));
  if (hub == nullptr) {
    hub = New(engine);
    hub->Start();
  }
  return hub.get();
}

void Hubs::EndGreenlets() {
  for (pyhost::Hub* hub : {greenlet_.get(), gevent_.get()}) {
    if (hub != nullptr) hub->EndGreenlets();
  }
}

void Hubs::Stop(std::function<void()> on_ended) {
  StopIfThere(greenlet_.get(), [this, on_ended = std::move(on_ended)] { StopIfThere(gevent_.get(), on_ended); });
}

}  // namespace greenring::worker
