// The columns in which pools, workers, requests, operations and events are shown. `wide` adds those of lesser interest.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "greenring/control/v1/operation_service.pb.h"
#include "greenring/control/v1/pool.pb.h"
#include "greenring/control/v1/request_service.pb.h"
#include "greenring/control/v1/server_service.pb.h"
#include "greenring/control/v1/worker_service.pb.h"
#include "tools/greenctl/table.h"

namespace greenring::greenctl {

namespace v1 = ::greenring::control::v1;

// Ages are counted until `now`.
Table PoolTable(const google::protobuf::RepeatedPtrField<v1::Pool>& pools, bool wide, absl::Time now);
Table WorkerTable(const google::protobuf::RepeatedPtrField<v1::Worker>& workers, bool wide, absl::Time now);
Table RequestTable(const google::protobuf::RepeatedPtrField<v1::Request>& requests, bool wide);
Table OperationTable(const google::protobuf::RepeatedPtrField<v1::Operation>& operations, bool wide, absl::Time now);
Table EventTable(const google::protobuf::RepeatedPtrField<v1::Event>& events, bool wide);

// "12:03:44  WARNING  web/3  WORKER_DIED: signal 9 (Killed)"
std::string EventLine(const v1::Event& event);

// "web/3/17 PARKED in recv 10.0.0.5:5432 for 1.2s, age 3.4s: GET /path"
std::string RequestLine(const v1::Request& request);

// "done", "failed", or how far it is.
std::string OperationState(const v1::Operation& operation);

// What a parked request waits in and for: "recv 10.0.0.5:5432", "sem_wait".
std::string WaitOf(const v1::Request& request);

// "5" when all run generation 5, else "4>5".
std::string GenerationOf(const v1::Pool& pool);

}  // namespace greenring::greenctl
