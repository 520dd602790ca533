#include "worker/statistics_collector.h"

#include <algorithm>
#include <cstddef>

#include "proto/histogram.h"

namespace greenring::worker {
namespace {

// What parks without having said in what call is told under this name.
constexpr const char* kUnnamedCall = "unnamed";

int64_t Signed(uint64_t count) { return static_cast<int64_t>(count); }

}  // namespace

void StatisticsCollector::Collect(control::v1::Statistics* statistics) {
  const HttpStatistics& http = sources_.service->statistics();
  const CorePool& cores = *sources_.cores;
  const green::SchedulerStats& scheduler = sources_.scheduler->stats();
  const ioloop::EventLoopStats& loop = sources_.loop->stats();
  LookAtStacks();

  statistics->set_cores(static_cast<int32_t>(cores.live_count()));
  statistics->set_cores_busy(static_cast<int32_t>(cores.busy_count()));
  statistics->set_queue_depth(static_cast<int32_t>(cores.queue_depth()));
  statistics->set_connections(static_cast<int32_t>(sources_.service->connection_count()));
  statistics->set_rss_bytes(usage_.RssBytes());
  statistics->set_stack_deepest_bytes(stack_deepest_bytes_);

  statistics->set_requests(Signed(http.requests()));
  http.ForEachStatus([statistics](int status, uint64_t count) {
    (*statistics->mutable_responses_by_status())[status] = Signed(count);
  });
  statistics->set_connections_accepted(Signed(http.accepted()));
  statistics->set_requests_refused(Signed(http.refused()));
  statistics->set_requests_timed_out(Signed(http.timed_out()));
  statistics->set_requests_cancelled(Signed(http.cancelled()));
  statistics->set_probes(Signed(http.probes()));
  statistics->set_bytes_received(Signed(loop.bytes_received));
  statistics->set_bytes_sent(Signed(loop.bytes_sent));
  statistics->set_cpu_ns(ProcessUsage::CpuNs());
  statistics->set_switches(Signed(scheduler.switches));
  statistics->set_turns(Signed(scheduler.turns));
  statistics->set_stack_overflows(Signed(scheduler.overflows));
  if (sources_.preemptions != nullptr) statistics->set_preemptions(Signed(sources_.preemptions()));
  sources_.scheduler->park_counts().ForEach([statistics](const char* call, uint64_t count) {
    (*statistics->mutable_parks_by_call())[call != nullptr ? call : kUnnamedCall] += Signed(count);
  });

  proto::ToProto(http.queue_wait(), statistics->mutable_queue_wait());
  proto::ToProto(http.run_time(), statistics->mutable_run_time());
  proto::ToProto(loop.lag, statistics->mutable_loop_lag());
  if (sources_.gil_wait != nullptr) proto::ToProto(*sources_.gil_wait, statistics->mutable_gil_wait());
}

void StatisticsCollector::CollectGenerations(
    google::protobuf::RepeatedPtrField<control::v1::GenerationStatistics>* generations) const {
  for (const HttpStatistics::Generation& counted : sources_.service->statistics().generations()) {
    control::v1::GenerationStatistics* const told = generations->Add();
    told->set_generation(counted.generation);
    told->set_requests(Signed(counted.requests));
    told->set_errors(Signed(counted.errors));
    proto::ToProto(counted.run_time, told->mutable_run_time());
  }
}

void StatisticsCollector::LookAtStacks() {
  const int64_t now_ns = sources_.scheduler->clock()->NowNs();
  if (now_ns < stack_look_ns_) return;
  stack_look_ns_ = now_ns + kStackLookNs;
  const auto deepest_bytes = static_cast<int64_t>(sources_.scheduler->ReportStacks().deepest_bytes);
  stack_deepest_bytes_ = std::max(stack_deepest_bytes_, deepest_bytes);
}

}  // namespace greenring::worker
