// The requests in flight of one worker, for operators: what each does, its Python stack, its end.
//
//   RequestList requests(&service, &scheduler);
//   requests.List(/*age_min_ns=*/0, /*count_max=*/50, answer.mutable_requests());
//   requests.Cancel(17, "cancelled by an operator");
//
// Requests are named by their number, which no other request of this process has. They are looked for among the
// connections: a request costs nothing to be listed. 1,000 take some milliseconds, most of them system calls for the
// use of their stacks and for who is at the other end of what they wait for. Loop's thread only. Never parks.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "green/scheduler.h"
#include "greenring/control/v1/request_service.pb.h"
#include "worker/http_service.h"

namespace greenring::worker {

class RequestList {
 public:
  // `wall_now_ns`: nanoseconds since 1970; for tests.
  RequestList(const HttpService* service, green::Scheduler* scheduler, int64_t (*wall_now_ns)() = &WallNowNs)
      : service_(service), scheduler_(scheduler), wall_now_ns_(wall_now_ns) {}
  RequestList(const RequestList&) = delete;
  RequestList& operator=(const RequestList&) = delete;

  // Those that are at least so old, the oldest first, at most `count_max`. Their `name` is the number only.
  void List(int64_t age_min_ns, int32_t count_max,
            google::protobuf::RepeatedPtrField<control::v1::Request>* requests) const;

  // What request `number` is in the middle of: its Python stack, empty while it waits for a core. To have the GIL may
  // take a while, so it is held when this is called. NOT_FOUND.
  absl::StatusOr<control::v1::Stack> Stack(int64_t number) const;

  // Has greenring.Cancelled(`reason`) raised in request `number`, and its client told 503; at once where it still waits
  // for a core. Cancelled again, it is raised again. NOT_FOUND; UNAVAILABLE: it is just beginning, or ending.
  absl::Status Cancel(int64_t number, const std::string& reason);

  static int64_t WallNowNs();

  // More of a target says nothing new.
  static constexpr size_t kTargetBytesMax = 1024;

 private:
  Connection* Find(int64_t number) const;

  const HttpService* const service_;
  green::Scheduler* const scheduler_;
  int64_t (*const wall_now_ns_)();
};

}  // namespace greenring::worker
