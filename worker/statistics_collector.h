// A worker's statistics as the API tells them (docs/OBSERVABILITY.md), gathered from those who count.
//
//   StatisticsCollector collector({.service = &service, .cores = &cores, .scheduler = &scheduler, .loop = &loop, ...});
//   v1::Statistics statistics;
//   collector.Collect(&statistics);
//
// Some microseconds, mostly for the process's memory and CPU time. The deepest stack is looked for every kStackLookNs
// only: it costs a system call for each stack. Loop's thread only. Never parks.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/histogram.h"
#include "green/scheduler.h"
#include "greenring/control/v1/statistics.pb.h"
#include "ioloop/event_loop.h"
#include "worker/core_pool.h"
#include "worker/http_service.h"
#include "worker/process_usage.h"

namespace greenring::worker {

class StatisticsCollector {
 public:
  // Who counts; all of them outlive the collector.
  struct Sources {
    const HttpService* service;
    const CorePool* cores;
    green::Scheduler* scheduler;
    const ioloop::EventLoop* loop;
    const Histogram* gil_wait;  // nullptr: there is no GIL
    uint64_t (*preemptions)();  // nullptr: there are none
  };

  explicit StatisticsCollector(const Sources& sources) : sources_(sources) {}
  StatisticsCollector(const StatisticsCollector&) = delete;
  StatisticsCollector& operator=(const StatisticsCollector&) = delete;

  // Fills in everything; `statistics` is empty.
  void Collect(control::v1::Statistics* statistics);

  // The newest generation first.
  void CollectGenerations(google::protobuf::RepeatedPtrField<control::v1::GenerationStatistics>* generations) const;

  const ProcessUsage& usage() const { return usage_; }

  static constexpr int64_t kStackLookNs = 10 * kNanosecondsPerSecond;

 private:
  void LookAtStacks();

  const Sources sources_;
  const ProcessUsage usage_;
  int64_t stack_deepest_bytes_ = 0;
  int64_t stack_look_ns_ = INT64_MIN;  // when to look next
};

}  // namespace greenring::worker
