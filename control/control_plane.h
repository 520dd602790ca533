// Everything that can be asked of the server and changed in it: what the gRPC services stand in front of, and the
// supervisor implements (supervisor.h). Names, messages and their meaning are those of proto/greenring/control/v1.
//
//   absl::StatusOr<v1::Operation> operation = plane->ReloadPool("pools/web", {"signal 1"});
//
// Errors are those of AIP-193: NOT_FOUND, ALREADY_EXISTS, ABORTED (etag), FAILED_PRECONDITION, and INVALID_ARGUMENT
// with the violations as payload (field_violations.h). On the reactor's thread only; nothing blocks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/caller.h"
#include "greenring/control/v1/operation_service.pb.h"
#include "greenring/control/v1/pool_service.pb.h"
#include "greenring/control/v1/request_service.pb.h"
#include "greenring/control/v1/server_service.pb.h"
#include "greenring/control/v1/worker_service.pb.h"

namespace greenring::control {

class ControlPlane {
 public:
  virtual ~ControlPlane() = default;

  // ---- pools ----

  virtual std::vector<v1::Pool> ListPools() = 0;  // by name
  virtual absl::StatusOr<v1::Pool> GetPool(const std::string& name) = 0;
  // With validate_only the operation is done, has no name and changes nothing.
  virtual absl::StatusOr<v1::Operation> CreatePool(const v1::CreatePoolRequest& request, const Caller& caller) = 0;
  virtual absl::StatusOr<v1::Operation> UpdatePool(const v1::UpdatePoolRequest& request, const Caller& caller) = 0;
  virtual absl::StatusOr<v1::Operation> DeletePool(const v1::DeletePoolRequest& request, const Caller& caller) = 0;
  virtual absl::StatusOr<v1::Operation> ReloadPool(const std::string& name, const Caller& caller) = 0;
  virtual absl::StatusOr<v1::Operation> DrainPool(const std::string& name, const Caller& caller) = 0;
  virtual absl::StatusOr<v1::Operation> ResumePool(const std::string& name, const Caller& caller) = 0;

  // ---- workers ----

  // `parent`: "pools/{pool}" or "pools/-". By pool and number; those that have ended with `show_ended`.
  virtual absl::StatusOr<std::vector<v1::Worker>> ListWorkers(const std::string& parent, bool show_ended) = 0;
  virtual absl::StatusOr<v1::Worker> GetWorker(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Operation> RestartWorker(const std::string& name, const Caller& caller) = 0;

  // ---- requests in flight: the workers are asked, `done` is called later, or at once ----

  struct RequestList {
    std::vector<v1::Request> requests;     // oldest first
    std::vector<std::string> unreachable;  // workers
  };
  // `parent` as in ListRequestsRequest.
  virtual void ListRequests(const std::string& parent, int64_t age_min_ns,
                            std::function<void(absl::StatusOr<RequestList>)> done) = 0;
  virtual void GetStack(const std::string& request, std::function<void(absl::StatusOr<v1::Stack>)> done) = 0;
  virtual void CancelRequest(const std::string& request, const std::string& reason, const Caller& caller,
                             std::function<void(absl::Status)> done) = 0;

  // ---- operations ----

  virtual std::vector<v1::Operation> ListOperations() = 0;  // newest first
  virtual absl::StatusOr<v1::Operation> GetOperation(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Operation> CancelOperation(const std::string& name, const Caller& caller) = 0;

  // ---- the server ----

  virtual v1::Server GetServer() = 0;
  virtual std::vector<v1::PoolStatistics> ListStatistics(const std::vector<std::string>& pools) = 0;  // empty: all

  // Is told of every event and of every change of an operation, until removed. Called on the reactor's thread.
  class Observer {
   public:
    virtual void OnEvent(const v1::Event& event) = 0;
    virtual void OnOperation(const v1::Operation& operation) = 0;

   protected:
    ~Observer() = default;
  };
  virtual void AddObserver(Observer* observer) = 0;
  virtual void RemoveObserver(Observer* observer) = 0;
  // Those after `id` that are still known, oldest first; -1: all.
  virtual std::vector<v1::Event> EventsAfter(int64_t id) = 0;
};

}  // namespace greenring::control
