#include "tools/greenctl/resource_name.h"

#include <iterator>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "control/config/resource_names.h"
#include "tools/greenctl/human.h"

namespace greenring::greenctl {
namespace {

constexpr std::string_view kPatterns[] = {control::kPoolPattern, control::kWorkerPattern, control::kRequestPattern};

// The ids of a name of either form, one a level; empty when it is neither.
std::vector<std::string> IdsOf(absl::string_view text) {
  for (const std::string_view pattern : kPatterns) {
    if (auto ids = control::IdsOfName({text.data(), text.size()}, pattern)) return *std::move(ids);
  }
  const std::vector<std::string> ids = absl::StrSplit(text, '/');
  const bool is_full = ids[0] == "pools" && ids.size() % 2 == 0;
  if (is_full || ids.size() > std::size(kPatterns)) return {};
  const std::string_view pattern = kPatterns[ids.size() - 1];
  return control::IdsOfName(control::NameOfIds(ids, pattern), pattern).value_or(std::vector<std::string>());
}

absl::StatusOr<std::string> NameOf(absl::string_view text, size_t levels, absl::string_view what,
                                   absl::string_view example) {
  const std::vector<std::string> ids = IdsOf(text);
  if (ids.size() != levels) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", Printable(text), "\" does not name a ", what, "; a ", what, " is ", example));
  }
  return control::NameOfIds(ids, kPatterns[levels - 1]);
}

}  // namespace

absl::StatusOr<std::string> PoolName(absl::string_view text) {
  return NameOf(text, 1, "pool", "\"web\" or \"pools/web\": a-z, 0-9 and -");
}

absl::StatusOr<std::string> WorkerName(absl::string_view text) {
  return NameOf(text, 2, "worker", "\"web/3\" or \"pools/web/workers/3\"; greenctl get workers lists them");
}

absl::StatusOr<std::string> RequestName(absl::string_view text) {
  return NameOf(text, 3, "request", "\"web/3/17\" or \"pools/web/workers/3/requests/17\"; greenctl ps lists them");
}

absl::StatusOr<std::string> OperationName(absl::string_view text) {
  const absl::string_view id = absl::StripPrefix(text, "operations/");
  if (id.empty() || absl::StrContains(id, "/") || Printable(id) != id) {
    return absl::InvalidArgumentError(absl::StrCat("\"", Printable(text),
                                                   "\" does not name an operation; an operation is "
                                                   "\"operations/42\"; greenctl get operations lists them"));
  }
  return absl::StrCat("operations/", id);
}

absl::StatusOr<ResourceKind> KindOf(absl::string_view text) {
  if (absl::StartsWith(text, "operations/")) {
    if (absl::StatusOr<std::string> name = OperationName(text); !name.ok()) return name.status();
    return ResourceKind::kOperation;
  }
  switch (IdsOf(text).size()) {
    case 1:
      return ResourceKind::kPool;
    case 2:
      return ResourceKind::kWorker;
    case 3:
      return ResourceKind::kRequest;
    default:
      return absl::InvalidArgumentError(absl::StrCat("\"", Printable(text),
                                                     "\" names nothing: a pool is \"web\", a worker \"web/3\", a "
                                                     "request \"web/3/17\", an operation \"operations/42\""));
  }
}

std::string ShortName(absl::string_view name) {
  if (!absl::StartsWith(name, "pools/")) return std::string(name);
  const std::vector<std::string> ids = IdsOf(name);
  return ids.empty() ? std::string(name) : absl::StrJoin(ids, "/");
}

std::string PoolOf(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  return parts.size() >= 2 && parts[0] == "pools" ? absl::StrCat("pools/", parts[1]) : "";
}

}  // namespace greenring::greenctl
