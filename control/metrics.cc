#include "control/metrics.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <locale>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/histogram.h"
#include "google/protobuf/util/time_util.h"
#include "prometheus/client_metric.h"
#include "prometheus/metric_family.h"
#include "prometheus/text_serializer.h"

namespace greenring::control {
namespace {

using google::protobuf::util::TimeUtil;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kNanosecondsPerSecond = 1e9;
constexpr int kBucketsPerOctave = static_cast<int>(Histogram::kBucketsPerOctave);
constexpr int kBucketsMax = static_cast<int>(Histogram::kBuckets);

using Labels = std::vector<ClientMetric::Label>;

std::string LastSegment(const std::string& name) { return name.substr(name.rfind('/') + 1); }

Labels PoolLabel(const std::string& pool) { return {{"pool", LastSegment(pool)}}; }

Labels With(Labels labels, std::string name, std::string value) {
  labels.push_back({std::move(name), std::move(value)});
  return labels;
}

// All samples of one metric.
class Family {
 public:
  Family(std::string name, std::string help, MetricType type) {
    family_.name = absl::StrCat("greenring_", name);
    family_.help = std::move(help);
    family_.type = type;
  }

  void Add(Labels labels, double value) {
    ClientMetric& metric = family_.metric.emplace_back();
    metric.label = std::move(labels);
    if (family_.type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
  }

  void Add(Labels labels, const v1::Histogram& histogram) {
    ClientMetric& metric = family_.metric.emplace_back();
    metric.label = std::move(labels);
    uint64_t cumulative = 0;
    for (int i = 0; i < std::min(histogram.buckets_size(), kBucketsMax); ++i) {
      cumulative += static_cast<uint64_t>(std::max<int64_t>(0, histogram.buckets(i)));
      AddBound(i, cumulative, &metric);
    }
    for (int i = histogram.buckets_size(); i < kBucketsMax; ++i) AddBound(i, cumulative, &metric);
    metric.histogram.sample_count = cumulative;  // of these buckets, so that the last one agrees with it
    metric.histogram.sample_sum = static_cast<double>(histogram.sum_ns()) / kNanosecondsPerSecond;
  }

  MetricFamily Take() { return std::move(family_); }

 private:
  // One bucket an octave is told, up to a power of two microseconds: each is a time series where it is stored.
  static void AddBound(int i, uint64_t cumulative, ClientMetric* metric) {
    if (i % kBucketsPerOctave != 0 || i == kBucketsMax - 1) return;  // the very last one has no bound
    const double bound_s = static_cast<double>(Histogram::BoundNs(static_cast<size_t>(i))) / kNanosecondsPerSecond;
    metric->histogram.bucket.push_back({cumulative, bound_s});
  }

  MetricFamily family_;
};

// A number of Statistics.
struct Field {
  const char* name;
  const char* help;
  double (*value)(const v1::Statistics&);
};

constexpr Field kPoolCounters[] = {
    {"requests_refused_total", "Requests answered with 503 because the queue was full.",
     [](const v1::Statistics& s) { return static_cast<double>(s.requests_refused()); }},
    {"requests_timed_out_total", "Requests that did not end before their timeout.",
     [](const v1::Statistics& s) { return static_cast<double>(s.requests_timed_out()); }},
    {"requests_cancelled_total", "Requests cancelled by an operator or because their client had gone.",
     [](const v1::Statistics& s) { return static_cast<double>(s.requests_cancelled()); }},
    {"connections_accepted_total", "Connections accepted.",
     [](const v1::Statistics& s) { return static_cast<double>(s.connections_accepted()); }},
    {"received_bytes_total", "Bytes received from clients.",
     [](const v1::Statistics& s) { return static_cast<double>(s.bytes_received()); }},
    {"sent_bytes_total", "Bytes sent to clients.",
     [](const v1::Statistics& s) { return static_cast<double>(s.bytes_sent()); }},
    {"cpu_seconds_total", "Processor time of the workers, user and system.",
     [](const v1::Statistics& s) { return static_cast<double>(s.cpu_ns()) / kNanosecondsPerSecond; }},
    {"switches_total", "Switches from one green thread to another.",
     [](const v1::Statistics& s) { return static_cast<double>(s.switches()); }},
    {"loop_turns_total", "Turns of the event loops.",
     [](const v1::Statistics& s) { return static_cast<double>(s.turns()); }},
    {"stack_overflows_total", "Green threads that have overflowed their stacks.",
     [](const v1::Statistics& s) { return static_cast<double>(s.stack_overflows()); }},
    {"preemptions_total", "Times that a green thread had to give way after its time slice.",
     [](const v1::Statistics& s) { return static_cast<double>(s.preemptions()); }},
};

// Of a pool as greenring_NAME, of each worker as greenring_worker_NAME.
constexpr Field kGauges[] = {
    {"cores", "Async cores that exist: they are made when they are needed first.",
     [](const v1::Statistics& s) { return static_cast<double>(s.cores()); }},
    {"cores_busy", "Async cores at work.", [](const v1::Statistics& s) { return static_cast<double>(s.cores_busy()); }},
    {"queue_depth", "Requests that wait for a core.",
     [](const v1::Statistics& s) { return static_cast<double>(s.queue_depth()); }},
    {"connections", "Connections of clients.",
     [](const v1::Statistics& s) { return static_cast<double>(s.connections()); }},
    {"resident_memory_bytes", "Resident memory.",
     [](const v1::Statistics& s) { return static_cast<double>(s.rss_bytes()); }},
    {"stack_deepest_bytes", "The most that a green thread has used of its stack.",
     [](const v1::Statistics& s) { return static_cast<double>(s.stack_deepest_bytes()); }},
};

struct HistogramField {
  const char* name;
  const char* help;
  const v1::Histogram& (v1::Statistics::*value)() const;
};

constexpr HistogramField kHistograms[] = {
    {"queue_wait_seconds", "From a request's head until a core takes it.", &v1::Statistics::queue_wait},
    {"run_time_seconds", "From there to the end of its response.", &v1::Statistics::run_time},
    {"loop_lag_seconds", "How late the event loop came back to polling.", &v1::Statistics::loop_lag},
    {"gil_wait_seconds", "Waits for the GIL by the event loop's thread.", &v1::Statistics::gil_wait},
};

void AddServer(const MetricsInput& input, std::vector<MetricFamily>* families) {
  Family info("server_info", "What the server is; always 1.", MetricType::Gauge);
  info.Add({{"version", input.server.version()}, {"python_version", input.server.python_version()}}, 1);
  families->push_back(info.Take());
  Family start("start_time_seconds", "When the server was started, in seconds since 1970.", MetricType::Gauge);
  start.Add({}, static_cast<double>(TimeUtil::TimestampToMilliseconds(input.server.start_time())) / 1e3);
  families->push_back(start.Take());
  Family draining("draining", "Whether the server drains.", MetricType::Gauge);
  draining.Add({}, input.server.draining() ? 1 : 0);
  families->push_back(draining.Take());
  Family events("events_total", "Events since the server's start.", MetricType::Counter);
  for (const auto& [of, count] : input.events) {
    events.Add({{"kind", absl::AsciiStrToLower(v1::Event::Kind_Name(of.first))},
                {"severity", absl::AsciiStrToLower(v1::Event::Severity_Name(of.second))}},
               static_cast<double>(count));
  }
  families->push_back(events.Take());
}

void AddPools(const std::vector<v1::Pool>& pools, std::vector<MetricFamily>* families) {
  Family state("pool_state", "1 for the state that the pool is in, 0 for the others.", MetricType::Gauge);
  Family generation("pool_generation", "Of the pool's desired state.", MetricType::Gauge);
  Family observed("pool_observed_generation", "That every worker runs, or a later one.", MetricType::Gauge);
  Family desired("workers_desired", "Workers that the pool should have.", MetricType::Gauge);
  Family workers("workers", "Workers by state.", MetricType::Gauge);
  Family cores("cores_max", "Requests that the ready workers can run at the same time.", MetricType::Gauge);
  Family restarts("worker_restarts_total", "Workers that died and were replaced.", MetricType::Counter);
  for (const v1::Pool& pool : pools) {
    const Labels labels = PoolLabel(pool.name());
    const v1::PoolStatus& status = pool.status();
    for (int i = v1::PoolStatus::READY; v1::PoolStatus::State_IsValid(i); ++i) {
      const auto value = static_cast<v1::PoolStatus::State>(i);
      state.Add(With(labels, "state", absl::AsciiStrToLower(v1::PoolStatus::State_Name(value))),
                status.state() == value ? 1 : 0);
    }
    generation.Add(labels, static_cast<double>(pool.generation()));
    observed.Add(labels, static_cast<double>(status.observed_generation()));
    desired.Add(labels, pool.drained() ? 0 : pool.workers());
    workers.Add(With(labels, "state", "ready"), status.workers_ready());
    workers.Add(With(labels, "state", "starting"), status.workers_starting());
    workers.Add(With(labels, "state", "draining"), status.workers_draining());
    cores.Add(labels, static_cast<double>(status.workers_ready()) * pool.async_cores());
    restarts.Add(labels, status.restarts());
  }
  for (Family* family : {&state, &generation, &observed, &desired, &workers, &cores, &restarts}) {
    families->push_back(family->Take());
  }
}

void AddRequests(const std::vector<v1::PoolStatistics>& pools, std::vector<MetricFamily>* families) {
  Family requests("requests_total", "Requests that had a response, by its status code.", MetricType::Counter);
  Family parks("parks_total", "Times that a green thread had to wait, by the call it waited in.", MetricType::Counter);
  for (const v1::PoolStatistics& pool : pools) {
    const Labels labels = PoolLabel(pool.pool());
    // In order, so that two scrapes can be compared.
    const std::map<int, int64_t> by_status(pool.total().responses_by_status().begin(),
                                           pool.total().responses_by_status().end());
    for (const auto& [code, count] : by_status) {
      requests.Add(With(labels, "code", absl::StrCat(code)), static_cast<double>(count));
    }
    const std::map<std::string, int64_t> by_call(pool.total().parks_by_call().begin(),
                                                 pool.total().parks_by_call().end());
    for (const auto& [call, count] : by_call) parks.Add(With(labels, "call", call), static_cast<double>(count));
  }
  families->push_back(requests.Take());
  families->push_back(parks.Take());
}

void AddStatistics(const std::vector<v1::PoolStatistics>& pools, std::vector<MetricFamily>* families) {
  for (const Field& field : kPoolCounters) {
    Family family(field.name, field.help, MetricType::Counter);
    for (const v1::PoolStatistics& pool : pools) family.Add(PoolLabel(pool.pool()), field.value(pool.total()));
    families->push_back(family.Take());
  }
  for (const HistogramField& field : kHistograms) {
    Family family(field.name, field.help, MetricType::Histogram);
    for (const v1::PoolStatistics& pool : pools) family.Add(PoolLabel(pool.pool()), (pool.total().*field.value)());
    families->push_back(family.Take());
  }
  for (const Field& field : kGauges) {
    Family of_pool(field.name, field.help, MetricType::Gauge);
    Family of_worker(absl::StrCat("worker_", field.name), field.help, MetricType::Gauge);
    for (const v1::PoolStatistics& pool : pools) {
      of_pool.Add(PoolLabel(pool.pool()), field.value(pool.total()));
      for (const v1::WorkerStatistics& worker : pool.workers()) {
        of_worker.Add(With(PoolLabel(pool.pool()), "worker", LastSegment(worker.worker())),
                      field.value(worker.statistics()));
      }
    }
    families->push_back(of_pool.Take());
    families->push_back(of_worker.Take());
  }
}

}  // namespace

std::string ToPrometheusText(const MetricsInput& input) {
  std::vector<MetricFamily> families;
  AddServer(input, &families);
  AddPools(input.pools, &families);
  AddRequests(input.statistics, &families);
  AddStatistics(input.statistics, &families);
  std::ostringstream text;
  text.imbue(std::locale::classic());
  prometheus::TextSerializer().Serialize(text, families);
  return text.str();
}

}  // namespace greenring::control
