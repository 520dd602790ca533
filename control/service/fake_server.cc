// The API in front of FakeControlPlane: for trying clients out, and for their tests.
//
//   bazel run control/service:fake_server -- --control=unix:/tmp/fake.sock
//
// Prints "ready ADDRESS..." when it listens. Operations take a step every --step; SIGTERM ends it.
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "control/reactor.h"
#include "control/server_log.h"
#include "control/service/api_server.h"
#include "control/service/call_log.h"
#include "control/service/fake_control_plane.h"

ABSL_FLAG(std::vector<std::string>, control, {"unix:/tmp/greenring-fake.sock"}, "addresses of the API");
ABSL_FLAG(std::string, control_tls_certificate, "", "PEM file, for a TCP address");
ABSL_FLAG(std::string, control_tls_key, "", "PEM file");
ABSL_FLAG(std::string, control_tls_client_ca, "", "PEM file");
ABSL_FLAG(absl::Duration, step, absl::Milliseconds(200), "between two steps of the operations");

namespace greenring::control {
namespace {

// Calls StepOperations for ever.
class Steps {
 public:
  Steps(Reactor* reactor, FakeControlPlane* plane) : plane_(plane), timer_(*reactor->context()) { Wait(); }

 private:
  void Wait() {
    timer_.expires_after(absl::ToChronoMilliseconds(absl::GetFlag(FLAGS_step)));
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      plane_->StepOperations();
      Wait();
    });
  }

  FakeControlPlane* const plane_;
  boost::asio::steady_timer timer_;
};

int Serve() {
  Reactor reactor;
  FakeControlPlane plane;
  const ServerLog server_log([](const std::string& line) { fprintf(stderr, "%s\n", line.c_str()); },
                             ServerLog::Format::kText);
  LineCallLog log(&server_log);
  v1::Control control;
  for (const std::string& address : absl::GetFlag(FLAGS_control)) control.add_addresses(address);
  control.set_tls_certificate(absl::GetFlag(FLAGS_control_tls_certificate));
  control.set_tls_key(absl::GetFlag(FLAGS_control_tls_key));
  control.set_tls_client_ca(absl::GetFlag(FLAGS_control_tls_client_ca));
  absl::StatusOr<std::unique_ptr<ApiServer>> api = ApiServer::Start(control, &reactor, &plane, &log);
  if (!api.ok()) {
    fprintf(stderr, "%s\n", std::string(api.status().message()).c_str());
    return 1;
  }
  Steps steps(&reactor, &plane);
  boost::asio::signal_set signals(*reactor.context(), SIGTERM, SIGINT);
  signals.async_wait([&reactor](const boost::system::error_code&, int) { reactor.Stop(); });
  printf("ready %s\n", absl::StrJoin((*api)->addresses(), " ").c_str());
  fflush(stdout);
  reactor.Run();
  (*api)->Shutdown();
  return 0;
}

}  // namespace
}  // namespace greenring::control

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return greenring::control::Serve();
}
