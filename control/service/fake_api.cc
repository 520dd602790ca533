#include "control/service/fake_api.h"

#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <thread>

#include "base/check.h"
#include "control/reactor.h"
#include "control/server_log.h"
#include "control/service/api_server.h"
#include "control/service/call_log.h"
#include "greenring/control/v1/config.pb.h"

namespace greenring::control {

struct FakeApi::State {
  void Step() {
    plane.StepOperations();
    timer.expires_after(std::chrono::milliseconds(5));
    timer.async_wait([this](const boost::system::error_code& error) {
      if (!error) Step();
    });
  }

  char directory[32] = "/tmp/greenring_api.XXXXXX";
  Reactor reactor;
  FakeControlPlane plane;
  const ServerLog server_log{[](const std::string&) {}, ServerLog::Format::kText};
  LineCallLog log{&server_log};
  boost::asio::steady_timer timer{*reactor.context()};
  std::unique_ptr<ApiServer> server;
  std::thread thread;
};

FakeApi::FakeApi() : state_(std::make_unique<State>()) {
  GREENRING_CHECK(mkdtemp(state_->directory) != nullptr);
  v1::Control configuration;
  configuration.add_addresses(address());
  state_->server = *ApiServer::Start(configuration, &state_->reactor, &state_->plane, &state_->log);
  state_->thread = std::thread([state = state_.get()] { state->reactor.Run(); });
}

FakeApi::~FakeApi() {
  state_->reactor.Call([this] {
    state_->timer.cancel();
    state_->server.reset();
  });
  state_->reactor.Stop();
  state_->thread.join();
  rmdir(state_->directory);
}

std::string FakeApi::address() const { return std::string("unix:") + state_->directory + "/socket"; }

void FakeApi::Do(const std::function<void(FakeControlPlane&)>& function) {
  state_->reactor.Call([&] { function(state_->plane); });
}

void FakeApi::KeepStepping() {
  state_->reactor.Post([state = state_.get()] { state->Step(); });
}

}  // namespace greenring::control
