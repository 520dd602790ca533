// Pools, requests and statistics for tests of `top`.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "greenring/control/v1/pool_service.pb.h"
#include "greenring/control/v1/request_service.pb.h"
#include "greenring/control/v1/statistics.pb.h"

namespace greenring::greenctl {

inline v1::Pool TestPool(const std::string& name, int workers) {
  v1::Pool pool;
  pool.set_name("pools/" + name);
  pool.set_workers(workers);
  pool.set_async_cores(512 / workers);
  pool.mutable_status()->set_state(v1::PoolStatus::READY);
  pool.mutable_status()->set_workers_ready(workers);
  return pool;
}

inline v1::Request TestRequest(const std::string& short_name, int age_s) {
  const size_t worker = short_name.find('/'), request = short_name.rfind('/');
  v1::Request message;
  message.set_name("pools/" + short_name.substr(0, worker) + "/workers/" +
                   short_name.substr(worker + 1, request - worker - 1) + "/requests/" + short_name.substr(request + 1));
  message.set_method("GET");
  message.set_target("/of/" + short_name);
  message.set_state(v1::Request::PARKED);
  message.set_call("recv");
  message.set_fd(7);
  message.set_peer("10.0.0.5:5432");
  message.mutable_age()->set_seconds(age_s);
  message.set_stack_use_bytes(20480);
  return message;
}

// Of a pool with one worker, `at_s` seconds after some moment, when so many requests had been answered, each for 1 ms
// of processor time, and so many cores are busy.
inline v1::PoolStatistics TestStatistics(const std::string& pool, int at_s, int64_t requests, int64_t busy) {
  v1::PoolStatistics statistics;
  statistics.set_pool("pools/" + pool);
  statistics.mutable_time()->set_seconds(1'000'000 + at_s);
  v1::Statistics* total = statistics.mutable_total();
  total->set_cores(512);
  total->set_cores_busy(static_cast<int32_t>(busy));
  total->set_requests(requests);
  (*total->mutable_responses_by_status())[200] = requests;
  total->set_cpu_ns(requests * 1'000'000);
  total->set_rss_bytes(int64_t{64} << 20);
  v1::WorkerStatistics* worker = statistics.add_workers();
  worker->set_worker(statistics.pool() + "/workers/1");
  *worker->mutable_statistics() = *total;
  return statistics;
}

}  // namespace greenring::greenctl
