#include "tools/greenctl/tables.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/config/quantities.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/resource_name.h"

namespace greenring::greenctl {
namespace {

using Columns = std::vector<Table::Column>;

std::string AgeOf(const google::protobuf::Timestamp& since, absl::Time now) {
  return since.seconds() == 0 ? "" : HumanDuration(now - control::FromProto(since));
}

// "2/8": how many of how many.
std::string Of(int64_t part, int64_t whole) { return absl::StrCat(part, "/", whole); }

void Append(Columns* columns, const Columns& more) { columns->insert(columns->end(), more.begin(), more.end()); }

std::string ListenersOf(const v1::Pool& pool) {
  std::vector<std::string> addresses;
  for (const v1::Listener& listener : pool.listeners()) addresses.push_back(listener.address());
  return absl::StrJoin(addresses, ",");
}

std::string RoutesOf(const v1::Pool& pool) {
  std::vector<std::string> routes;
  for (const v1::Route& route : pool.routes()) routes.push_back(route.host() + route.path_prefix());
  return absl::StrJoin(routes, ",");
}

std::string DescriptorOf(const v1::Request& request) {
  if (request.state() != v1::Request::PARKED) return "";
  if (request.fd() < 0) return request.lock_holder();
  return request.peer().empty() ? absl::StrCat(request.fd()) : absl::StrCat(request.fd(), " ", request.peer());
}

}  // namespace

std::string GenerationOf(const v1::Pool& pool) {
  const int64_t observed = pool.status().observed_generation();
  return observed == pool.generation() ? absl::StrCat(observed) : absl::StrCat(observed, ">", pool.generation());
}

std::string WaitOf(const v1::Request& request) {
  std::string wait = request.call();
  if (!request.peer().empty()) {
    absl::StrAppend(&wait, " ", request.peer());
  } else if (!request.lock_holder().empty()) {
    absl::StrAppend(&wait, " held by ", ShortName(request.lock_holder()));
  }
  return Printable(wait);
}

Table PoolTable(const google::protobuf::RepeatedPtrField<v1::Pool>& pools, bool wide, absl::Time now) {
  Columns columns = {{"NAME"},   {"STATE"}, {"WORKERS", Table::kRight},    {"CORES", Table::kRight},
                     {"ENGINE"}, {"STACK"}, {"GENERATION", Table::kRight}, {"RESTARTS", Table::kRight},
                     {"AGE"}};
  if (wide) Append(&columns, {{"APPLICATION"}, {"LISTENERS"}, {"ROUTES"}, {"ETAG"}});
  Table table(columns);
  for (const v1::Pool& pool : pools) {
    std::vector<std::string> cells = {ShortName(pool.name()),
                                      v1::PoolStatus::State_Name(pool.status().state()),
                                      Of(pool.status().workers_ready(), pool.workers()),
                                      absl::StrCat(pool.async_cores()),
                                      v1::Engine_Name(pool.engine()),
                                      HumanBytes(pool.stack_size_bytes()),
                                      GenerationOf(pool),
                                      absl::StrCat(pool.status().restarts()),
                                      AgeOf(pool.create_time(), now)};
    if (wide) {
      for (const std::string& cell : {pool.application().target(), ListenersOf(pool), RoutesOf(pool), pool.etag()}) {
        cells.push_back(cell);
      }
    }
    table.Add(std::move(cells));
  }
  return table;
}

Table WorkerTable(const google::protobuf::RepeatedPtrField<v1::Worker>& workers, bool wide, absl::Time now) {
  Columns columns = {{"NAME"},
                     {"SLOT", Table::kRight},
                     {"PID", Table::kRight},
                     {"STATE"},
                     {"CORES", Table::kRight},
                     {"QUEUE", Table::kRight},
                     {"REQUESTS", Table::kRight},
                     {"CPU", Table::kRight},
                     {"RSS", Table::kRight},
                     {"GENERATION", Table::kRight},
                     {"AGE"}};
  if (wide) Append(&columns, {{"CPUS"}, {"CONNECTIONS", Table::kRight}, {"STACK_MAX", Table::kRight}, {"END"}});
  Table table(columns);
  for (const v1::Worker& worker : workers) {
    const v1::Statistics& statistics = worker.statistics();
    std::vector<std::string> cells = {ShortName(worker.name()),
                                      absl::StrCat(worker.slot()),
                                      absl::StrCat(worker.pid()),
                                      v1::Worker::State_Name(worker.state()),
                                      Of(statistics.cores_busy(), statistics.cores()),
                                      absl::StrCat(statistics.queue_depth()),
                                      absl::StrCat(statistics.requests()),
                                      HumanDuration(absl::Nanoseconds(statistics.cpu_ns())),
                                      HumanBytes(statistics.rss_bytes()),
                                      absl::StrCat(worker.generation()),
                                      AgeOf(worker.start_time(), now)};
    if (wide) {
      cells.push_back(absl::StrJoin(worker.cpus(), ","));
      cells.push_back(absl::StrCat(statistics.connections()));
      cells.push_back(HumanBytes(statistics.stack_deepest_bytes()));
      cells.push_back(worker.end_reason());
    }
    table.Add(std::move(cells));
  }
  return table;
}

Table RequestTable(const google::protobuf::RepeatedPtrField<v1::Request>& requests, bool wide) {
  Columns columns = {{"NAME"},
                     {"AGE", Table::kRight},
                     {"STATE"},
                     {"CALL"},
                     {"FD PEER"},
                     {"CPU", Table::kRight},
                     {"SWITCHES", Table::kRight},
                     {"STACK"},
                     {"METHOD"},
                     {"PATH"}};
  if (wide) {
    Append(&columns, {{"IN_STATE", Table::kRight},
                      {"DEADLINE"},
                      {"CLIENT"},
                      {"HOST"},
                      {"ENGINE"},
                      {"GENERATION", Table::kRight},
                      {"GREEN_THREAD", Table::kRight},
                      {"REQUEST_ID"}});
  }
  Table table(columns);
  for (const v1::Request& request : requests) {
    std::vector<std::string> cells = {
        ShortName(request.name()),
        HumanDuration(control::FromProto(request.age())),
        v1::Request::State_Name(request.state()),
        request.call(),
        DescriptorOf(request),
        HumanDuration(control::FromProto(request.cpu_time())),
        absl::StrCat(request.switches()),
        absl::StrCat(HumanBytes(request.stack_use_bytes()), "/", HumanBytes(request.stack_size_bytes())),
        request.method(),
        request.target()};
    if (wide) {
      cells.push_back(HumanDuration(control::FromProto(request.in_state())));
      cells.push_back(request.has_deadline() ? FormatClock(request.deadline()) : "");
      cells.push_back(request.client());
      cells.push_back(request.host());
      cells.push_back(v1::Engine_Name(request.engine()));
      cells.push_back(absl::StrCat(request.generation()));
      cells.push_back(request.green_thread() == 0 ? "" : absl::StrCat(request.green_thread()));
      cells.push_back(request.request_id());
    }
    table.Add(std::move(cells));
  }
  return table;
}

std::string OperationState(const v1::Operation& operation) {
  if (operation.done()) return operation.has_error() ? "failed" : "done";
  if (operation.cores_total() > 0) return absl::StrCat("cores ", Of(operation.cores_done(), operation.cores_total()));
  if (operation.workers_total() > 0) {
    return absl::StrCat("workers ", Of(operation.workers_done(), operation.workers_total()));
  }
  return "running";
}

Table OperationTable(const google::protobuf::RepeatedPtrField<v1::Operation>& operations, bool wide, absl::Time now) {
  Columns columns = {{"NAME"}, {"VERB"}, {"TARGET"}, {"STATE"}, {"AGE"}, {"TOOK"}, {"STAGE"}};
  if (wide) Append(&columns, {{"GENERATION", Table::kRight}, {"CALLER"}});
  Table table(columns);
  for (const v1::Operation& operation : operations) {
    std::vector<std::string> cells = {operation.name(),
                                      operation.verb(),
                                      ShortName(operation.target()),
                                      OperationState(operation),
                                      AgeOf(operation.create_time(), now),
                                      operation.done() ? HumanDuration(control::FromProto(operation.end_time()) -
                                                                       control::FromProto(operation.create_time()))
                                                       : "",
                                      operation.has_error() ? operation.error().message() : operation.stage()};
    if (wide) {
      cells.push_back(operation.generation() == 0 ? "" : absl::StrCat(operation.generation()));
      cells.push_back(operation.caller());
    }
    table.Add(std::move(cells));
  }
  return table;
}

Table EventTable(const google::protobuf::RepeatedPtrField<v1::Event>& events, bool wide) {
  Columns columns = {{"TIME"}, {"SEVERITY"}, {"RESOURCE"}, {"KIND"}, {"MESSAGE"}};
  if (wide) columns = {{"ID", Table::kRight}, {"TIME"}, {"SEVERITY"}, {"RESOURCE"}, {"KIND"}, {"CALLER"}, {"MESSAGE"}};
  Table table(columns);
  for (const v1::Event& event : events) {
    std::vector<std::string> cells = {FormatTime(event.time()), v1::Event::Severity_Name(event.severity()),
                                      ShortName(event.resource()), v1::Event::Kind_Name(event.kind())};
    if (wide) {
      cells.insert(cells.begin(), absl::StrCat(event.id()));
      cells.push_back(event.caller());
    }
    cells.push_back(event.message());
    table.Add(std::move(cells));
  }
  return table;
}

std::string EventLine(const v1::Event& event) {
  std::string line = absl::StrCat(FormatClock(event.time()), "  ", v1::Event::Severity_Name(event.severity()), "  ",
                                  ShortName(event.resource()), "  ", v1::Event::Kind_Name(event.kind()));
  if (!event.message().empty()) absl::StrAppend(&line, ": ", event.message());
  if (!event.caller().empty()) absl::StrAppend(&line, " (", event.caller(), ")");
  return Printable(line);
}

std::string RequestLine(const v1::Request& request) {
  std::string line = absl::StrCat(ShortName(request.name()), " ", v1::Request::State_Name(request.state()));
  if (const std::string wait = WaitOf(request); !wait.empty()) absl::StrAppend(&line, " in ", wait);
  if (request.has_in_state()) absl::StrAppend(&line, " for ", HumanDuration(control::FromProto(request.in_state())));
  absl::StrAppend(&line, ", age ", HumanDuration(control::FromProto(request.age())), ": ", request.method(), " ",
                  request.target());
  return Printable(line);
}

}  // namespace greenring::greenctl
