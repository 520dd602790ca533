#include "control/service/api_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <fstream>

#include "control/service/api_test_fixture.h"
#include "control/service/unix_listener.h"
#include "gmock/gmock.h"
#include "greenring/control/v1/pool_service.grpc.pb.h"
#include "greenring/control/v1/server_service.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"

// gRPC's resolver (c-ares) loses the names that it has looked up.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:ares_strdup\n"; }

namespace greenring::control {
namespace {

using testing::HasSubstr;

class ApiServerTest : public ApiTest {
 protected:
  absl::Status StartAnother(const std::string& address, const v1::Control& tls = v1::Control()) {
    v1::Control control = tls;
    control.add_addresses(address);
    return OnReactor([&] {
      const absl::StatusOr<std::unique_ptr<ApiServer>> api = ApiServer::Start(control, &reactor_, &plane_, &log_);
      return api.status();
    });
  }

  // grpc.health.v1.Health/Check, whose messages gRPC does not export: 1 is SERVING, 2 NOT_SERVING, 0 no such service.
  int Health(const std::string& service) {
    std::string request;
    if (!service.empty()) request = absl::StrCat("\x0a", std::string(1, static_cast<char>(service.size())), service);
    grpc::GenericStub stub(channel());
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const grpc::Slice slice(request);
    const auto call =
        stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    void* tag;
    bool ok;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    grpc::Slice text;
    if (!status.ok() || !response.DumpToSingleSlice(&text).ok() || text.size() < 2) return 0;
    return text.begin()[1];
  }

  grpc::Status GetServer(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    v1::Server server;
    return v1::ServerService::NewStub(channel)->GetServer(&context, v1::GetServerRequest(), &server);
  }
};

TEST_F(ApiServerTest, TheSocketIsForItsOwnerOnly) {
  struct stat file;
  ASSERT_EQ(stat(path().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST_F(ApiServerTest, TheOwnUserAndRootMayConnectAndNobodyElse) {
  EXPECT_TRUE(MayConnect({1000, 1}, 1000));
  EXPECT_TRUE(MayConnect({0, 1}, 1000));
  EXPECT_FALSE(MayConnect({1001, 1}, 1000));
  EXPECT_FALSE(MayConnect({1000, 1}, 0));
}

TEST_F(ApiServerTest, ASecondServerIsToldWhoHasTheSocketAndWhatToDo) {
  const absl::Status status = StartAnother(absl::StrCat("unix:", path()));
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat("the process ", getpid())));
  EXPECT_THAT(status.message(), HasSubstr("--control=unix:"));
  EXPECT_TRUE(GetServer(channel()).ok()) << "the first one goes on";
}

TEST_F(ApiServerTest, ASocketThatWasLeftBehindIsReplaced) {
  const std::string left = directory_ + "/left.sock";
  {
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    left.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(listen(fd.get(), 1), 0);
  }
  EXPECT_TRUE(StartAnother(absl::StrCat("unix:", left)).ok());
  EXPECT_NE(access(left.c_str(), F_OK), 0) << "removed at its end";
}

TEST_F(ApiServerTest, AnotherFileIsNotReplaced) {
  const std::string file = directory_ + "/notes.txt";
  std::ofstream(file) << "important";
  const absl::Status status = StartAnother(absl::StrCat("unix:", file));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(access(file.c_str(), F_OK), 0);
  unlink(file.c_str());
}

TEST_F(ApiServerTest, ADirectoryThatIsNotThereAndAPathThatIsTooLongAreNamed) {
  const absl::Status missing = StartAnother("unix:/nowhere/greenring.sock");
  EXPECT_THAT(missing.message(), HasSubstr("/nowhere/"));
  EXPECT_THAT(missing.message(), HasSubstr("--control=unix:PATH"));
  EXPECT_THAT(StartAnother(absl::StrCat("unix:/tmp/", std::string(120, 'x'))).message(), HasSubstr("107 bytes"));
}

TEST_F(ApiServerTest, OffMeansNoApi) { EXPECT_TRUE(StartAnother("off").ok()); }

TEST_F(ApiServerTest, HealthFollowsThePools) {
  EXPECT_EQ(Health(""), 1);
  EXPECT_EQ(Health("pools/web"), 1);
  EXPECT_EQ(Health("pools/shop"), 0);
  OnReactor([this] {
    plane_.pool("pools/web")->mutable_status()->set_state(v1::PoolStatus::RECONCILING);
    plane_.EmitEvents(1);
  });
  OnReactor([] {});  // the refresh has been queued before
  EXPECT_EQ(Health("pools/web"), 1) << "its workers serve";
  OnReactor([this] {
    plane_.pool("pools/web")->mutable_status()->set_workers_ready(0);
    plane_.EmitEvents(1);
  });
  OnReactor([] {});
  EXPECT_EQ(Health("pools/web"), 2);
  EXPECT_EQ(Health("pools/api"), 1);
  EXPECT_EQ(Health(""), 2);
}

TEST_F(ApiServerTest, APoolThatWasDrainedDoesNotMakeTheServerUnhealthy) {
  OnReactor([this] {
    plane_.pool("pools/web")->set_drained(true);
    plane_.pool("pools/web")->mutable_status()->set_state(v1::PoolStatus::DRAINED);
    plane_.EmitEvents(1);
  });
  OnReactor([] {});
  EXPECT_EQ(Health("pools/web"), 2);
  EXPECT_EQ(Health(""), 1);
}

TEST_F(ApiServerTest, GarbageOnTheSocketHurtsNobody) {
  for (const std::string text :
       {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff", ""}) {
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  EXPECT_TRUE(GetServer(channel()).ok());
}

// A certificate authority, and certificates by it: made by openssl(1), in the test's directory.
class TlsTest : public ApiServerTest {
 protected:
  void SetUp() override {
    ApiServerTest::SetUp();
    Make(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 "
        "-subj /CN=ca");
    Make(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout other.key -out other.pem "
        "-days 2 -subj /CN=mallory");
    for (const std::string name : {"server", "client"}) {
      Make(absl::StrCat("openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ", name,
                        ".key -out ", name, ".csr -subj /CN=", name,
                        "&& printf subjectAltName=IP:127.0.0.1 > san && openssl x509 -req -in ", name,
                        ".csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out ", name, ".pem"));
    }
    tls_.set_tls_certificate(directory_ + "/server.pem");
    tls_.set_tls_key(directory_ + "/server.key");
    tls_.set_tls_client_ca(directory_ + "/ca.pem");
  }

  void TearDown() override {
    OnReactor([this] { secure_.reset(); });
    ApiServerTest::TearDown();
    Make("rm -f *.pem *.key *.csr *.srl san");
    rmdir(directory_.c_str());
  }

  void Make(const std::string& command) {
    ASSERT_EQ(system(absl::StrCat("cd ", directory_, " && { ", command, "; } >/dev/null 2>&1").c_str()), 0) << command;
  }

  std::string Read(const std::string& name) {
    std::ifstream file(directory_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  // Listens on a port of its own, and returns it.
  std::string StartSecure() {
    v1::Control control = tls_;
    control.add_addresses("127.0.0.1:0");
    return OnReactor([&] {
      absl::StatusOr<std::unique_ptr<ApiServer>> api = ApiServer::Start(control, &reactor_, &plane_, &log_);
      EXPECT_TRUE(api.ok()) << api.status();
      if (!api.ok()) return std::string();
      secure_ = *std::move(api);
      return secure_->addresses().front();
    });
  }

  std::shared_ptr<grpc::Channel> SecureChannel(const std::string& address, const std::string& certificate) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = Read("ca.pem");
    if (!certificate.empty()) {
      options.pem_cert_chain = Read(certificate + ".pem");
      options.pem_private_key = Read(certificate + ".key");
    }
    return grpc::CreateChannel(address, grpc::SslCredentials(options));
  }

  v1::Control tls_;
  std::unique_ptr<ApiServer> secure_;
};

TEST_F(TlsTest, ClientsWithACertificateOfTheAuthorityAreKnownByIt) {
  const std::string address = StartSecure();
  const std::shared_ptr<grpc::Channel> channel = SecureChannel(address, "client");
  ASSERT_TRUE(GetServer(channel).ok());
  grpc::ClientContext context;
  v1::ReloadPoolRequest request;
  request.set_name("pools/web");
  v1::Operation operation;
  ASSERT_TRUE(v1::PoolService::NewStub(channel)->ReloadPool(&context, request, &operation).ok());
  EXPECT_THAT(operation.caller(), testing::StartsWith("CN=client, "));
}

TEST_F(TlsTest, OthersAreNotLetIn) {
  const std::string address = StartSecure();
  EXPECT_EQ(GetServer(SecureChannel(address, "")).error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(GetServer(SecureChannel(address, "other")).error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(GetServer(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())).error_code(),
            grpc::UNAVAILABLE);
}

TEST_F(TlsTest, WithoutAllThreeFilesThereIsNoTcp) {
  tls_.clear_tls_client_ca();
  const absl::Status status = StartAnother("127.0.0.1:0", tls_);
  EXPECT_THAT(status.message(), HasSubstr("tls_client_ca"));
  EXPECT_THAT(status.message(), HasSubstr("mutual TLS"));
}

TEST_F(TlsTest, AFileThatCannotBeReadOrIsSomethingElseIsNamed) {
  tls_.set_tls_key(directory_ + "/nothing.key");
  EXPECT_THAT(StartAnother("127.0.0.1:0", tls_).message(), HasSubstr("/nothing.key"));
  tls_.set_tls_key(directory_ + "/ca.pem");
  EXPECT_THAT(StartAnother("127.0.0.1:0", tls_).message(), HasSubstr("has no PRIVATE KEY"));
}

TEST_F(TlsTest, AKeyOfAnotherCertificateIsAnError) {
  tls_.set_tls_key(directory_ + "/client.key");
  EXPECT_FALSE(StartAnother("127.0.0.1:0", tls_).ok());
}

TEST_F(TlsTest, AnAddressInUseIsAnError) {
  const std::string address = StartSecure();
  EXPECT_THAT(StartAnother(address, tls_).message(), HasSubstr(address));
}

}  // namespace
}  // namespace greenring::control
