// The connection to a server's API. Every call blocks until it is answered, at most 30 s, and never beyond the
// deadline; streams last until the deadline. Lists come with all their pages.
//
//   absl::StatusOr<std::unique_ptr<Client>> client = Client::Create(options.connection, deadline);
//   absl::StatusOr<v1::Pool> pool = (*client)->GetPool("pools/web");
//
// Errors are the server's, with the violations of a bad request (control/config/field_violations.h); one that comes
// because there is no server has kExitUnreachable or kExitRefused, and a hint (exit_code.h). Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "greenring/control/v1/operation_service.pb.h"
#include "greenring/control/v1/pool_service.pb.h"
#include "greenring/control/v1/request_service.pb.h"
#include "greenring/control/v1/server_service.pb.h"
#include "greenring/control/v1/worker_service.pb.h"
#include "tools/greenctl/options.h"

namespace greenring::greenctl {

// Ends a stream from another thread, or before it begins. Thread-safe.
class Cancellation {
 public:
  void Cancel();
  bool cancelled() const;

 private:
  friend class Client;
  // `function` is called by Cancel, at once when that was before; null: nothing is to be called any more.
  void Attach(std::function<void()> function);

  mutable absl::Mutex mutex_;
  std::function<void()> function_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

class Client {
 public:
  // Connects with the first call. An error when the address or the certificates make no sense.
  static absl::StatusOr<std::unique_ptr<Client>> Create(const ConnectionOptions& options, absl::Time deadline);
  ~Client();

  absl::StatusOr<v1::ListPoolsResponse> ListPools();
  absl::StatusOr<v1::Pool> GetPool(const std::string& name);
  absl::StatusOr<v1::Operation> UpdatePool(const v1::UpdatePoolRequest& request);
  absl::StatusOr<v1::Operation> DeletePool(const std::string& name);
  absl::StatusOr<v1::Operation> ReloadPool(const std::string& name);
  absl::StatusOr<v1::Operation> DrainPool(const std::string& name);
  absl::StatusOr<v1::Operation> ResumePool(const std::string& name);

  absl::StatusOr<v1::ListWorkersResponse> ListWorkers(const std::string& parent, bool show_ended);
  absl::StatusOr<v1::Worker> GetWorker(const std::string& name);
  absl::StatusOr<v1::Operation> RestartWorker(const std::string& name);

  // The oldest `count_max` of those that are at least `age_min` old.
  absl::StatusOr<v1::ListRequestsResponse> ListRequests(const std::string& parent, absl::Duration age_min,
                                                        int count_max);
  absl::StatusOr<v1::Stack> GetStack(const std::string& name);
  absl::Status CancelRequest(const std::string& name, const std::string& reason);

  absl::StatusOr<v1::ListOperationsResponse> ListOperations();
  absl::StatusOr<v1::Operation> GetOperation(const std::string& name);
  absl::StatusOr<v1::Operation> CancelOperation(const std::string& name);

  absl::StatusOr<v1::Server> GetServer();
  // Those after the event `after`; 0: all that are known.
  absl::StatusOr<v1::ListEventsResponse> ListEvents(const std::vector<std::string>& pools, int64_t after);
  absl::StatusOr<v1::ListStatisticsResponse> ListStatistics(const std::vector<std::string>& pools);

  // `on_message` is called on this thread for each; when it returns false, the stream ends with OK, as it does when
  // the server ends it. CANCELLED after `cancellation`, which may be null.
  absl::Status WatchOperation(const std::string& name, Cancellation* cancellation,
                              const std::function<bool(const v1::Operation&)>& on_message);
  absl::Status Watch(const v1::WatchRequest& request, Cancellation* cancellation,
                     const std::function<bool(const v1::WatchResponse&)>& on_message);

  // Every call that waits ends with CANCELLED, and so does each from now on; streams have their Cancellation.
  void EndCalls();

  const std::string& address() const;

 private:
  struct Connection;
  explicit Client(std::unique_ptr<Connection> connection);

  const std::unique_ptr<Connection> connection_;
};

}  // namespace greenring::greenctl
