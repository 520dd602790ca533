#include "control/service/status.h"

#include "absl/strings/str_cat.h"
#include "control/config/field_violations.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

constexpr size_t kTrailerBytesMax = 8 << 10;  // of gRPC's clients, unless they are told otherwise

// As on the wire: the message percent-encoded, the details in Base64.
size_t BytesOnTheWire(const grpc::Status& status) {
  size_t bytes = (status.error_details().size() * 4 + 2) / 3;
  for (const char c : status.error_message()) bytes += c < ' ' || c > '~' || c == '%' ? 3 : 1;
  return bytes;
}

TEST(StatusTest, CodesAndTextsAreTheSame) {
  const grpc::Status status = ToGrpcStatus(absl::AbortedError("changed meanwhile"));
  EXPECT_EQ(status.error_code(), grpc::ABORTED);
  EXPECT_EQ(status.error_message(), "changed meanwhile");
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(StatusTest, ViolationsAreDetails) {
  const grpc::Status status = ToGrpcStatus(ToStatus({{"workers", "must not be 0"}}, "pool."));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_EQ(details.details_size(), 1);
  google::rpc::BadRequest bad_request;
  ASSERT_TRUE(details.details(0).UnpackTo(&bad_request));
  EXPECT_EQ(bad_request.field_violations(0).field(), "pool.workers");
}

TEST(StatusTest, WhatClientsWouldRefuseIsCut) {
  std::vector<FieldViolation> violations;
  for (int i = 0; i < 500; ++i) violations.push_back({absl::StrCat("routes[", i, "]"), "kein gültiger Pfad"});
  EXPECT_LT(BytesOnTheWire(ToGrpcStatus(ToStatus(violations))), kTrailerBytesMax);
  EXPECT_LT(BytesOnTheWire(ToGrpcStatus(absl::InternalError(std::string(100'000, '\n')))), kTrailerBytesMax);
}

TEST(StatusTest, ACutDoesNotGoThroughACharacter) {
  std::string text = "x";
  for (int i = 0; i < 2000; ++i) text += "ü";
  const std::string cut = ToGrpcStatus(absl::InternalError(text)).error_message();
  const size_t end = cut.find(" [...]");
  ASSERT_NE(end, std::string::npos);
  EXPECT_EQ(end % 2, 1u);
}

}  // namespace
}  // namespace greenring::control
