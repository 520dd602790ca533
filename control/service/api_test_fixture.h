// The API in front of FakeControlPlane, on a real unix socket, with the reactor on a thread of its own.
//
//   class PoolServiceTest : public ApiTest {};
//   TEST_F(PoolServiceTest, ...) { auto stub = v1::PoolService::NewStub(channel()); ... }
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/reactor.h"
#include "control/server_log.h"
#include "control/service/api_server.h"
#include "control/service/call_log.h"
#include "control/service/fake_control_plane.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

namespace greenring::control {

class ApiTest : public testing::Test {
 protected:
  // How long a test waits for what should come at once.
  static constexpr std::chrono::seconds kDeadline{20};

  void SetUp() override {
    char directory[] = "/tmp/greenring-api-XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    v1::Control control;
    control.add_addresses(absl::StrCat("unix:", path()));
    absl::StatusOr<std::unique_ptr<ApiServer>> api = ApiServer::Start(control, &reactor_, &plane_, &log_);
    ASSERT_TRUE(api.ok()) << api.status();
    api_ = *std::move(api);
    thread_ = std::thread([this] { reactor_.Run(); });
  }

  void TearDown() override {
    Shutdown();
    reactor_.Stop();
    if (thread_.joinable()) thread_.join();
    api_.reset();
    EXPECT_EQ(plane_.observer_count(), 0u) << "something still observes the control plane";
    EXPECT_NE(access(path().c_str(), F_OK), 0) << "the socket is still there";
    rmdir(directory_.c_str());
  }

  std::string path() const { return directory_ + "/api.sock"; }

  std::shared_ptr<grpc::Channel> channel() {
    return grpc::CreateChannel(absl::StrCat("unix:", path()), grpc::InsecureChannelCredentials());
  }

  // On the reactor's thread.
  template <typename F>
  auto OnReactor(F function) {
    return reactor_.Call(std::move(function));
  }
  void Shutdown() {
    if (api_ != nullptr && thread_.joinable()) OnReactor([this] { api_->Shutdown(); });
  }
  std::vector<std::string> LogLines() {
    return OnReactor([this] { return lines_; });
  }

  // Until `condition`, which is asked on the reactor's thread, holds.
  void Eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (!OnReactor(condition)) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it does not happen";
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  // The field of each violation in the details of `status`.
  static std::vector<std::string> ViolatedFields(const grpc::Status& status) {
    google::rpc::Status details;
    EXPECT_TRUE(details.ParseFromString(status.error_details()));
    EXPECT_EQ(details.code(), static_cast<int>(status.error_code()));
    std::vector<std::string> fields;
    for (const google::protobuf::Any& detail : details.details()) {
      google::rpc::BadRequest bad_request;
      EXPECT_TRUE(detail.UnpackTo(&bad_request));
      for (const auto& violation : bad_request.field_violations()) fields.push_back(violation.field());
    }
    return fields;
  }

  Reactor reactor_;
  FakeControlPlane plane_;
  std::vector<std::string> lines_;
  const ServerLog server_log_{[this](const std::string& line) { lines_.push_back(line); }, ServerLog::Format::kText};
  LineCallLog log_{&server_log_};
  std::string directory_;
  std::unique_ptr<ApiServer> api_;
  std::thread thread_;
};

}  // namespace greenring::control
