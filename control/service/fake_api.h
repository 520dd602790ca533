// The API in front of FakeControlPlane, in this process: for tests of its clients.
//
//   FakeApi api;                                                     // on a unix socket of its own
//   api.Do([](FakeControlPlane& plane) { plane.EmitEvents(3); });
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/service/fake_control_plane.h"

namespace greenring::control {

class FakeApi {
 public:
  FakeApi();
  ~FakeApi();

  // "unix:/..."
  std::string address() const;

  // Runs `function` on the thread that owns the control plane; blocks until it is done.
  void Do(const std::function<void(FakeControlPlane&)>& function);

  // Operations take a step every few milliseconds from now on; until then they stand still.
  void KeepStepping();

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace greenring::control
