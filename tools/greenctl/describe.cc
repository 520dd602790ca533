// describe: all about one pool, worker, request or operation.
#include <map>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "control/config/config_file.h"
#include "control/config/quantities.h"
#include "proto/histogram.h"
#include "tools/greenctl/commands.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/progress.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/session.h"
#include "tools/greenctl/tables.h"

namespace greenring::greenctl {
namespace {

// "Name:        web", and blocks of text under a title. What is empty is left out.
class Sheet {
 public:
  explicit Sheet(std::ostream* out) : out_(out) {}

  void Line(const std::string& title, const std::string& text) {
    if (text.empty()) return;
    *out_ << title << ':' << std::string(title.size() < kTitleWidth ? kTitleWidth - title.size() : 1, ' ')
          << Printable(text) << '\n';
  }
  void Time(const std::string& title, const google::protobuf::Timestamp& time) {
    if (time.seconds() != 0) Line(title, FormatTime(time));
  }
  void Block(const std::string& title, absl::string_view text) {
    while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
    if (text.empty()) return;
    *out_ << title << ":\n";
    for (const absl::string_view line : absl::StrSplit(text, '\n')) *out_ << "  " << Printable(line, true) << '\n';
  }
  void Block(const std::string& title, const Table& table) {
    if (table.empty()) return;
    std::ostringstream text;
    table.Print(text, 0);
    Block(title, text.str());
  }

 private:
  static constexpr size_t kTitleWidth = 18;
  std::ostream* const out_;
};

Table HistogramTable(const v1::Statistics& statistics) {
  Table table({{""},
               {"COUNT", Table::kRight},
               {"MEAN", Table::kRight},
               {"P50", Table::kRight},
               {"P99", Table::kRight},
               {"P99.9", Table::kRight}});
  const std::pair<const char*, const v1::Histogram*> rows[] = {{"queue wait", &statistics.queue_wait()},
                                                               {"run time", &statistics.run_time()},
                                                               {"loop lag", &statistics.loop_lag()},
                                                               {"GIL wait", &statistics.gil_wait()}};
  for (const auto& [name, histogram] : rows) {
    if (histogram->count() <= 0) continue;
    auto quantile = [histogram = histogram](double fraction) {
      return HumanDuration(absl::Nanoseconds(proto::QuantileNs(*histogram, fraction)));
    };
    table.Add({name, absl::StrCat(histogram->count()),
               HumanDuration(absl::Nanoseconds(histogram->sum_ns() / histogram->count())), quantile(0.5),
               quantile(0.99), quantile(0.999)});
  }
  return table;
}

template <typename Map>
std::string Pairs(const Map& map) {
  return absl::StrJoin(std::map<typename Map::key_type, int64_t>(map.begin(), map.end()), "  ",
                       absl::PairFormatter(" "));
}

void DescribeStatistics(const v1::Statistics& statistics, Sheet* sheet) {
  sheet->Line("Cores", absl::StrCat(statistics.cores_busy(), " busy of ", statistics.cores(), ", ",
                                    statistics.queue_depth(), " requests queued"));
  sheet->Line("Connections",
              absl::StrCat(statistics.connections(), " open, ", statistics.connections_accepted(), " accepted"));
  sheet->Line("Requests",
              absl::StrCat(statistics.requests(), ", refused ", statistics.requests_refused(), ", timed out ",
                           statistics.requests_timed_out(), ", cancelled ", statistics.requests_cancelled()));
  sheet->Line("Responses", Pairs(statistics.responses_by_status()));
  sheet->Line("Parks", Pairs(statistics.parks_by_call()));
  sheet->Line("Processor time", HumanDuration(absl::Nanoseconds(statistics.cpu_ns())));
  sheet->Line("Memory", absl::StrCat(HumanBytes(statistics.rss_bytes()), " resident, deepest stack ",
                                     HumanBytes(statistics.stack_deepest_bytes())));
  sheet->Line("Bytes", absl::StrCat(HumanBytes(statistics.bytes_received()), " received, ",
                                    HumanBytes(statistics.bytes_sent()), " sent"));
  if (statistics.stack_overflows() > 0) sheet->Line("Stack overflows", absl::StrCat(statistics.stack_overflows()));
  sheet->Block("Times", HistogramTable(statistics));
}

Table GenerationTable(const google::protobuf::RepeatedPtrField<v1::GenerationStatus>& generations) {
  Table table(
      {{"GENERATION", Table::kRight}, {"WORKERS", Table::kRight}, {"CORES", Table::kRight}, {"BUSY", Table::kRight}});
  for (const v1::GenerationStatus& generation : generations) {
    table.Add({absl::StrCat(generation.generation()), absl::StrCat(generation.workers()),
               absl::StrCat(generation.cores()), absl::StrCat(generation.cores_busy())});
  }
  return table;
}

// What can be set, without what the server says.
std::string ConfigurationOf(v1::Pool pool) {
  for (auto clear :
       {&v1::Pool::clear_name, &v1::Pool::clear_generation, &v1::Pool::clear_etag, &v1::Pool::clear_create_time,
        &v1::Pool::clear_update_time, &v1::Pool::clear_drained, &v1::Pool::clear_status}) {
    (pool.*clear)();
  }
  return control::ToYaml(pool);
}

absl::Status DescribePool(Session& session, Client& client, const std::string& name) {
  const absl::StatusOr<v1::Pool> pool = client.GetPool(name);
  if (!pool.ok()) return pool.status();
  if (session.structured()) return session.PrintDocument(*pool);
  const absl::StatusOr<v1::ListWorkersResponse> workers = client.ListWorkers(name, /*show_ended=*/true);
  if (!workers.ok()) return workers.status();
  const absl::StatusOr<v1::ListStatisticsResponse> statistics = client.ListStatistics({name});
  if (!statistics.ok()) return statistics.status();
  const v1::PoolStatus& status = pool->status();
  Sheet sheet(&session.out());
  sheet.Line("Name", ShortName(pool->name()));
  sheet.Line("State", v1::PoolStatus::State_Name(status.state()));
  sheet.Line("Generation", absl::StrCat(pool->generation(), " desired, ", status.observed_generation(), " observed"));
  sheet.Line("Workers", absl::StrCat(status.workers_ready(), " ready of ", pool->workers(), ", ",
                                     status.workers_starting(), " starting, ", status.workers_draining(), " draining, ",
                                     status.restarts(), " restarts after a death"));
  sheet.Time("Created", pool->create_time());
  sheet.Time("Changed", pool->update_time());
  sheet.Line("Etag", pool->etag());
  sheet.Block("Message", status.message());
  sheet.Block("Configuration", ConfigurationOf(*pool));
  if (status.generations_size() > 1) sheet.Block("Generations", GenerationTable(status.generations()));
  sheet.Block("Workers", WorkerTable(workers->workers(), /*wide=*/true, absl::Now()));
  for (const v1::PoolStatistics& each : statistics->pools()) DescribeStatistics(each.total(), &sheet);
  return absl::OkStatus();
}

absl::Status DescribeWorker(Session& session, Client& client, const std::string& name) {
  const absl::StatusOr<v1::Worker> worker = client.GetWorker(name);
  if (!worker.ok()) return worker.status();
  if (session.structured()) return session.PrintDocument(*worker);
  Sheet sheet(&session.out());
  sheet.Line("Name", ShortName(worker->name()));
  sheet.Line("State", v1::Worker::State_Name(worker->state()));
  sheet.Line("Slot", absl::StrCat(worker->slot()));
  sheet.Line("Process", absl::StrCat(worker->pid()));
  sheet.Line("Processors", worker->cpus().empty() ? "any" : absl::StrJoin(worker->cpus(), ", "));
  sheet.Line("Generation", absl::StrCat(worker->generation()));
  sheet.Time("Started", worker->start_time());
  sheet.Time("Ready", worker->ready_time());
  sheet.Time("Ended", worker->end_time());
  sheet.Line("End", worker->end_reason());
  sheet.Block("Last words", worker->end_dump());
  if (worker->generations_size() > 1) sheet.Block("Generations", GenerationTable(worker->generations()));
  DescribeStatistics(worker->statistics(), &sheet);
  return absl::OkStatus();
}

absl::Status DescribeRequest(Session& session, Client& client, const std::string& name) {
  const absl::StatusOr<v1::Stack> stack = client.GetStack(name);
  if (!stack.ok()) return stack.status();
  if (session.structured()) return session.PrintDocument(*stack);
  const v1::Request& request = stack->request();
  Sheet sheet(&session.out());
  sheet.Line("Name", ShortName(request.name()));
  sheet.Line("Request", absl::StrCat(request.method(), " ", request.target()));
  sheet.Line("Host", request.host());
  sheet.Line("Client", request.client());
  sheet.Line("Request id", request.request_id());
  sheet.Time("Started", request.start_time());
  sheet.Line("Age", HumanDuration(control::FromProto(request.age())));
  sheet.Time("Deadline", request.deadline());
  const std::string wait = WaitOf(request);
  sheet.Line("State", absl::StrCat(v1::Request::State_Name(request.state()), wait.empty() ? "" : " in ", wait, " for ",
                                   HumanDuration(control::FromProto(request.in_state()))));
  sheet.Line("Processor time", absl::StrCat(HumanDuration(control::FromProto(request.cpu_time())), ", ",
                                            request.switches(), " switches"));
  sheet.Line("C stack",
             absl::StrCat(HumanBytes(request.stack_use_bytes()), " of ", HumanBytes(request.stack_size_bytes())));
  sheet.Line("Core", absl::StrCat(v1::Engine_Name(request.engine()), ", generation ", request.generation(),
                                  ", green thread ", request.green_thread()));
  sheet.Block("Stack", stack->python());
  return absl::OkStatus();
}

absl::Status DescribeOperation(Session& session, Client& client, const std::string& name) {
  const absl::StatusOr<v1::Operation> operation = client.GetOperation(name);
  if (!operation.ok()) return operation.status();
  if (session.structured()) return session.PrintDocument(*operation);
  Sheet sheet(&session.out());
  sheet.Line("Name", operation->name());
  sheet.Line("What", DescribeProgress(*operation));
  sheet.Line("State", OperationState(*operation));
  sheet.Line("Caller", operation->caller());
  sheet.Time("Begun", operation->create_time());
  sheet.Time("Ended", operation->end_time());
  if (operation->generation() > 0) sheet.Line("Generation", absl::StrCat(operation->generation()));
  sheet.Block("Error", operation->error().message());
  return absl::OkStatus();
}

}  // namespace

absl::Status Describe(Session& session) {
  const std::vector<std::string>& arguments = session.arguments();
  const std::string& text = arguments.back();
  absl::StatusOr<ResourceKind> kind = KindOf(text);
  if (arguments.size() == 2) {
    static const std::map<std::string, ResourceKind> kKinds = {{"pool", ResourceKind::kPool},
                                                               {"worker", ResourceKind::kWorker},
                                                               {"request", ResourceKind::kRequest},
                                                               {"operation", ResourceKind::kOperation}};
    const auto word = kKinds.find(arguments[0]);
    if (word == kKinds.end()) {
      return UsageError(absl::StrCat("\"", Printable(arguments[0]), "\" is not pool, worker, request or operation"));
    }
    kind = word->second;
  }
  if (!kind.ok()) return kind.status();
  using Resolve = absl::StatusOr<std::string> (*)(absl::string_view);
  using Show = absl::Status (*)(Session&, Client&, const std::string&);
  static const std::map<ResourceKind, std::pair<Resolve, Show>> kActions = {
      {ResourceKind::kPool, {PoolName, DescribePool}},
      {ResourceKind::kWorker, {WorkerName, DescribeWorker}},
      {ResourceKind::kRequest, {RequestName, DescribeRequest}},
      {ResourceKind::kOperation, {OperationName, DescribeOperation}}};
  const auto& [resolve, show] = kActions.at(*kind);
  const absl::StatusOr<std::string> name = resolve(text);
  if (!name.ok()) return name.status();
  absl::StatusOr<Client*> client = session.client();
  return client.ok() ? show(session, **client, *name) : client.status();
}

}  // namespace greenring::greenctl
