// Callbacks that outlive their owner: timers, queued functions, answers that come late.
//
//   timer_.async_wait(lifetime_.Guard([this](const boost::system::error_code& error) { ... }));
//   ...
//   Lifetime lifetime_;       // the owner's last member: after its deletion what was guarded does nothing
//
// The guarded function may be moved between threads; it must be called on the thread that deletes the owner.
#pragma once

#include <memory>
#include <utility>

namespace greenring::control {

class Lifetime {
 public:
  template <typename F>
  auto Guard(F function) const {
    return [alive = std::weak_ptr<const bool>(alive_), function = std::move(function)](auto&&... arguments) {
      if (!alive.expired()) function(std::forward<decltype(arguments)>(arguments)...);
    };
  }

 private:
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace greenring::control
