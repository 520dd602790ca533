// completion: the shells' scripts; they ask "greenctl __complete WORDS..." for what the last word may become.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tools/greenctl/command_line.h"
#include "tools/greenctl/commands.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/pool_assignments.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/session.h"

namespace greenring::greenctl {
namespace {

// A word may end in "=": then no space follows it. bash takes = and : for ends of words; the script undoes that.
constexpr char kBash[] = R"(# greenctl's words for bash: source <(greenctl completion bash)
_greenctl() {
  local current words=() i
  current="${COMP_LINE:0:COMP_POINT}"
  read -r -a words <<<"$current"
  [[ "$current" == *' ' ]] && words+=('')
  local last="${words[${#words[@]} - 1]}"
  mapfile -t COMPREPLY < <(greenctl __complete -- "${words[@]:1}" 2>/dev/null)
  # Readline replaces only what stands behind the last of these.
  local prefix=""
  case "$last" in
    *[=:]*) prefix="${last%"${last##*[=:]}"}" ;;
  esac
  for i in "${!COMPREPLY[@]}"; do
    COMPREPLY[i]="${COMPREPLY[i]#"$prefix"}"
  done
  [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *= ]] && compopt -o nospace
  return 0
}
complete -o default -F _greenctl greenctl
)";

constexpr char kZsh[] = R"(#compdef greenctl
# greenctl's words for zsh: greenctl completion zsh > "${fpath[1]}/_greenctl"
_greenctl() {
  local -a candidates open
  candidates=("${(@f)$(greenctl __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  open=("${(@M)candidates:#*=}")
  candidates=("${(@)candidates:#*=}")
  [[ -n "${open[1]}" ]] && compadd -S '' -- "${open[@]}"
  [[ -n "${candidates[1]}" ]] && compadd -- "${candidates[@]}"
  [[ -z "${open[1]}${candidates[1]}" ]] && _files
}
if [[ "${funcstack[1]}" == _greenctl ]]; then
  _greenctl "$@"
else
  compdef _greenctl greenctl
fi
)";

constexpr char kFish[] =
    R"(# greenctl's words for fish: greenctl completion fish > ~/.config/fish/completions/greenctl.fish
function __greenctl_complete
    set -l words (commandline -opc) (commandline -ct)
    greenctl __complete -- $words[2..-1] 2>/dev/null
end
complete -c greenctl -a '(__greenctl_complete)'
)";

using Words = std::vector<std::string>;

// What the server has, in the forms that are typed; nothing when it does not answer soon.
Words PoolNames(Client& client) {
  Words names;
  if (const auto response = client.ListPools(); response.ok()) {
    for (const v1::Pool& pool : response->pools()) names.push_back(ShortName(pool.name()));
  }
  return names;
}

Words WorkerNames(Client& client) {
  Words names;
  if (const auto response = client.ListWorkers("pools/-", false); response.ok()) {
    for (const v1::Worker& worker : response->workers()) names.push_back(ShortName(worker.name()));
  }
  return names;
}

Words RequestNames(Client& client) {
  constexpr int kCandidatesMax = 200;
  Words names;
  if (const auto response = client.ListRequests("pools/-/workers/-", absl::ZeroDuration(), kCandidatesMax);
      response.ok()) {
    for (const v1::Request& request : response->requests()) names.push_back(ShortName(request.name()));
  }
  return names;
}

Words OperationNames(Client& client) {
  Words names;
  if (const auto response = client.ListOperations(); response.ok()) {
    for (const v1::Operation& operation : response->operations()) {
      if (!operation.done()) names.push_back(operation.name());
    }
  }
  return names;
}

Words Join(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Words EngineNames() {
  Words names;
  for (int i = 1; i < v1::Engine_ARRAYSIZE; ++i) {
    names.push_back(absl::AsciiStrToLower(v1::Engine_Name(static_cast<v1::Engine>(i))));
  }
  return names;
}

Words FieldCandidates() {
  Words names;
  for (const std::string& path : AssignablePaths()) names.push_back(path + "=");
  return names;
}

// The words that may follow `given`, a command and arguments, flags left out.
Words Arguments(const Words& given, Client& client) {
  const std::string& command = given[0];
  const size_t position = given.size();
  if (command == "get") {
    if (position == 1) return {"pools", "workers", "requests", "operations", "events"};
    if (given[1] == "pools" || given[1] == "events") return PoolNames(client);
    if (given[1] == "operations") return OperationNames(client);
    return Join(PoolNames(client), WorkerNames(client));
  }
  if (command == "describe") {
    return Join(position == 1 ? Words{"pool", "worker", "request", "operation"} : Words{},
                Join(PoolNames(client), Join(WorkerNames(client), RequestNames(client))));
  }
  if (command == "set") return position == 1 ? PoolNames(client) : FieldCandidates();
  if (command == "engine") return position == 1 ? PoolNames(client) : EngineNames();
  if (command == "scale") return position == 1 ? PoolNames(client) : Words();
  if (command == "completion") return {"bash", "zsh", "fish"};
  if (command == "restart") return WorkerNames(client);
  if (command == "ps") return Join(PoolNames(client), WorkerNames(client));
  if (command == "stack") return RequestNames(client);
  if (command == "cancel") return Join(RequestNames(client), OperationNames(client));
  if (command == "watch") return Join(PoolNames(client), OperationNames(client));
  if (command == "help") {
    Words names;
    for (const Command& each : Commands()) names.push_back(each.name);
    return names;
  }
  for (const char* of_pools : {"top", "events", "reload", "drain", "resume", "delete"}) {
    if (command == of_pools) return PoolNames(client);
  }
  return {};
}

// The flag of the command by its name; null when there is none.
const FlagDescription* FindFlag(const CommandDescription& command, const std::string& name) {
  for (const FlagDescription& flag : command.flags) {
    if (std::count(flag.names.begin(), flag.names.end(), name)) return &flag;
  }
  return nullptr;
}

Words Candidates(const Words& words, Client& client) {
  const std::string& last = words.back();
  const std::vector<CommandDescription> commands = DescribeCommands();
  const CommandDescription* description = &commands.front();  // for the flags of every command
  Words given;
  bool value_of_flag = false;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (std::exchange(value_of_flag, false)) continue;
    if (absl::StartsWith(words[i], "-")) {
      const FlagDescription* flag = FindFlag(*description, words[i]);
      value_of_flag = flag != nullptr && flag->takes_value;
      continue;
    }
    if (given.empty()) {
      const Command* command = FindCommand(words[i]);
      if (command == nullptr) return {};
      given.push_back(command->name);
      for (const CommandDescription& each : commands) {
        if (each.name == given[0]) description = &each;
      }
    } else {
      given.push_back(words[i]);
    }
  }
  if (value_of_flag) {
    const std::string& flag = words[words.size() - 2];
    return flag == "-o" || flag == "--output" ? Words{"table", "wide", "json", "yaml", "name"} : Words();
  }
  Words candidates;
  if (absl::StartsWith(last, "-")) {
    for (const FlagDescription& flag : description->flags) candidates.push_back(flag.names[0]);
  } else if (given.empty()) {
    for (const Command& command : Commands()) {
      if (*command.group) candidates.push_back(command.name);
    }
  } else {
    candidates = Arguments(given, client);
  }
  return candidates;
}

}  // namespace

absl::Status Complete(Session& session) {
  Words words = session.arguments();
  if (words.empty()) words.push_back("");
  absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Create(session.options().connection, absl::Now() + absl::Seconds(1));
  if (!client.ok()) return client.status();
  const Words candidates = Candidates(words, **client);
  for (const std::string& candidate : std::set<std::string>(candidates.begin(), candidates.end())) {
    if (absl::StartsWith(candidate, words.back())) session.out() << candidate << '\n';
  }
  return absl::OkStatus();
}

absl::Status Completion(Session& session) {
  const std::string& shell = session.arguments()[0];
  for (const auto& [name, script] : {std::pair("bash", kBash), std::pair("zsh", kZsh), std::pair("fish", kFish)}) {
    if (shell != name) continue;
    session.out() << script;
    return absl::OkStatus();
  }
  return UsageError(absl::StrCat("there are scripts for bash, zsh and fish, not for ", Printable(shell)));
}

}  // namespace greenring::greenctl
