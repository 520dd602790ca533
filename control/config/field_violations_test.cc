#include "control/config/field_violations.h"

#include "absl/strings/cord.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

TEST(FieldViolationsTest, NoneAreFine) {
  EXPECT_TRUE(ToStatus({}).ok());
  EXPECT_TRUE(FieldViolationsOf(absl::OkStatus()).empty());
}

TEST(FieldViolationsTest, AllAreInTheTextAndInThePayload) {
  const absl::Status status = ToStatus({{"workers", "must be more"}, {"engine", "is reserved"}}, "pool.");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(std::string(status.message()), "pool.workers: must be more; pool.engine: is reserved");
  const std::vector<FieldViolation> violations = FieldViolationsOf(status);
  ASSERT_EQ(violations.size(), 2u);
  EXPECT_EQ(violations[1].field, "pool.engine");
  EXPECT_EQ(violations[1].description, "is reserved");
}

TEST(FieldViolationsTest, OtherStatusesHaveNone) {
  EXPECT_TRUE(FieldViolationsOf(absl::InvalidArgumentError("no")).empty());
  absl::Status status = absl::InvalidArgumentError("no");
  status.SetPayload("type.googleapis.com/google.rpc.BadRequest", absl::Cord("\xff not a message"));
  EXPECT_TRUE(FieldViolationsOf(status).empty());
}

}  // namespace
}  // namespace greenring::control
