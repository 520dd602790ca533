// get, ps, stack: lists of what there is.
#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/config/nearest.h"
#include "control/config/quantities.h"
#include "tools/greenctl/commands.h"
#include "tools/greenctl/event_stream.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/session.h"
#include "tools/greenctl/tables.h"

namespace greenring::greenctl {
namespace {

constexpr int kRequestsMax = 10000;  // of one list, as the API has it

using Names = std::vector<std::string>;

// The list in the form that was asked for. `items` are those of `response`.
template <typename Response, typename Items, typename MakeTable>
absl::Status PrintList(Session& session, const Response& response, const Items& items, const char* what,
                       const MakeTable& make_table) {
  if (session.structured()) return session.PrintDocument(response);
  if (session.options().format == OutputFormat::kName) {
    for (const auto& item : items) session.out() << item.name() << '\n';
    return absl::OkStatus();
  }
  if (items.empty()) {
    if (!session.options().quiet) session.err() << "no " << what << '\n';
    return absl::OkStatus();
  }
  session.Print(make_table(session.options().format == OutputFormat::kWide));
  return absl::OkStatus();
}

absl::Status GetPools(Session& session, Client& client, Names names) {
  v1::ListPoolsResponse response;
  if (names.empty()) {
    absl::StatusOr<v1::ListPoolsResponse> all = client.ListPools();
    if (!all.ok()) return all.status();
    response = *std::move(all);
  }
  for (const std::string& text : names) {
    absl::StatusOr<std::string> name = PoolName(text);
    if (!name.ok()) return name.status();
    absl::StatusOr<v1::Pool> pool = client.GetPool(*name);
    if (!pool.ok()) return pool.status();
    *response.add_pools() = *std::move(pool);
  }
  return PrintList(session, response, response.pools(), "pools",
                   [&](bool wide) { return PoolTable(response.pools(), wide, absl::Now()); });
}

absl::Status GetWorkers(Session& session, Client& client, Names names) {
  if (names.empty()) names.push_back("-");
  v1::ListWorkersResponse response;
  for (const std::string& text : names) {
    const absl::StatusOr<ResourceKind> kind = text == "-" ? ResourceKind::kPool : KindOf(text);
    if (!kind.ok()) return kind.status();
    if (*kind == ResourceKind::kWorker) {
      absl::StatusOr<v1::Worker> worker = client.GetWorker(*WorkerName(text));
      if (!worker.ok()) return worker.status();
      *response.add_workers() = *std::move(worker);
      continue;
    }
    const absl::StatusOr<std::string> pool = text == "-" ? std::string("pools/-") : PoolName(text);
    if (!pool.ok()) return pool.status();
    absl::StatusOr<v1::ListWorkersResponse> workers = client.ListWorkers(*pool, session.options().all);
    if (!workers.ok()) return workers.status();
    response.MergeFrom(*workers);
  }
  return PrintList(session, response, response.workers(), "workers",
                   [&](bool wide) { return WorkerTable(response.workers(), wide, absl::Now()); });
}

// What ListRequests calls the parent of the requests of a pool, of a worker, or with "-" of all.
absl::StatusOr<std::string> RequestParent(const std::string& text) {
  if (text == "-") return std::string("pools/-/workers/-");
  const absl::StatusOr<ResourceKind> kind = KindOf(text);
  if (!kind.ok()) return kind.status();
  if (*kind == ResourceKind::kWorker) return WorkerName(text);
  absl::StatusOr<std::string> pool = PoolName(text);
  if (!pool.ok()) return pool.status();
  return absl::StrCat(*pool, "/workers/-");
}

absl::Status GetRequests(Session& session, Client& client, Names names) {
  if (names.empty()) names.push_back("-");
  v1::ListRequestsResponse response;
  for (const std::string& text : names) {
    const absl::StatusOr<std::string> parent = RequestParent(text);
    if (!parent.ok()) return parent.status();
    absl::StatusOr<v1::ListRequestsResponse> some =
        client.ListRequests(*parent, session.options().age_min, kRequestsMax);
    if (!some.ok()) return some.status();
    response.MergeFrom(*some);
  }
  std::stable_sort(response.mutable_requests()->begin(), response.mutable_requests()->end(),
                   [](const v1::Request& a, const v1::Request& b) {
                     return control::FromProto(a.age()) > control::FromProto(b.age());
                   });
  for (const std::string& worker : response.unreachable()) {
    session.err() << "greenctl: worker " << ShortName(worker) << " did not answer in time; its requests are missing\n";
  }
  return PrintList(session, response, response.requests(), "requests in flight",
                   [&](bool wide) { return RequestTable(response.requests(), wide); });
}

absl::Status GetOperations(Session& session, Client& client, Names names) {
  v1::ListOperationsResponse response;
  if (names.empty()) {
    absl::StatusOr<v1::ListOperationsResponse> all = client.ListOperations();
    if (!all.ok()) return all.status();
    response = *std::move(all);
  }
  for (const std::string& text : names) {
    absl::StatusOr<std::string> name = OperationName(text);
    if (!name.ok()) return name.status();
    absl::StatusOr<v1::Operation> operation = client.GetOperation(*name);
    if (!operation.ok()) return operation.status();
    *response.add_operations() = *std::move(operation);
  }
  return PrintList(session, response, response.operations(), "operations",
                   [&](bool wide) { return OperationTable(response.operations(), wide, absl::Now()); });
}

absl::Status GetEvents(Session& session, Client& client, Names names) {
  return PrintKnownEvents(session, client, names);
}

struct Kind {
  const char* plural;
  absl::Status (*get)(Session& session, Client& client, Names names);
};

const Kind kKinds[] = {{"pools", GetPools},
                       {"workers", GetWorkers},
                       {"requests", GetRequests},
                       {"operations", GetOperations},
                       {"events", GetEvents}};

}  // namespace

absl::Status Get(Session& session) {
  const std::string& word = session.arguments()[0];
  Names known;
  for (const Kind& kind : kKinds) {
    known.push_back(kind.plural);
    if (word != kind.plural && word + "s" != kind.plural) continue;
    absl::StatusOr<Client*> client = session.client();
    if (!client.ok()) return client.status();
    return kind.get(session, **client, {session.arguments().begin() + 1, session.arguments().end()});
  }
  return WithHint(UsageError(absl::StrCat("there are no \"", Printable(word), "\"", control::DidYouMean(word, known))),
                  "greenctl get pools, workers, requests, operations or events");
}

absl::Status Ps(Session& session) {
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  return GetRequests(session, **client, session.arguments());
}

absl::Status ShowStack(Session& session) {
  const absl::StatusOr<std::string> name = RequestName(session.arguments()[0]);
  if (!name.ok()) return name.status();
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Stack> stack = (*client)->GetStack(*name);
  if (!stack.ok()) return stack.status();
  if (session.structured()) return session.PrintDocument(*stack);
  session.out() << RequestLine(stack->request()) << '\n'
                << Printable(absl::StripSuffix(stack->python(), "\n"), /*lines=*/true) << '\n';
  return absl::OkStatus();
}

}  // namespace greenring::greenctl
