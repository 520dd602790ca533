#include "tools/greenctl/commands.h"

#include "tools/greenctl/top/top.h"

namespace greenring::greenctl {
namespace {

constexpr char kLook[] = "Look";
constexpr char kChange[] = "Change";
constexpr char kOperate[] = "Operate";
constexpr char kOther[] = "Other";
constexpr unsigned kFlagsOfChange = kFlagDryRun | kFlagWait;

}  // namespace

const std::vector<Command>& Commands() {
  static const std::vector<Command>* const commands = new std::vector<Command>{
      {"get", "list", kLook, "pools|workers|requests|operations|events [NAME...]", "list what there is",
       "Workers and requests can be narrowed to a pool, requests to a worker, by naming it:\n"
       "  greenctl get pools web -o yaml > web.yaml    # a file for greenctl apply\n"
       "  greenctl get workers web\n"
       "  greenctl get requests web/3 --age-min 1s",
       1, -1, kFlagAll | kFlagAge, Get},
      {"describe", "", kLook, "[pool|worker|request|operation] NAME", "all about one thing",
       "  greenctl describe web       # a pool: configuration, what runs, statistics\n"
       "  greenctl describe web/3     # a worker: how it ended, too\n"
       "  greenctl describe web/3/17  # a request, with its stack",
       1, 2, 0, Describe},
      {"ps", "", kLook, "[POOL|WORKER...]", "requests in flight, the oldest first",
       "STATE is QUEUED, RUNNABLE, RUNNING, PARKED or ON_THREAD; CALL is what a parked one waits in.\n"
       "  greenctl ps web --age-min 5s",
       0, -1, kFlagAge, Ps},
      {"stack", "", kLook, "REQUEST", "the Python stack of a request, running or parked", "  greenctl stack web/3/17",
       1, 1, 0, ShowStack},
      {"top", "", kLook, "[POOL...]", "what happens, full screen", "? in it lists the keys.", 0, -1, kFlagInterval,
       Top},
      {"watch", "", kLook, "[POOL...|OPERATION]", "statistics and events as they come, or an operation's progress",
       "  greenctl watch web --count 10\n"
       "  greenctl watch -o json          # one object a line\n"
       "  greenctl watch operations/42",
       0, -1, kFlagInterval | kFlagCount, Watch},
      {"events", "", kLook, "[POOL...]", "what has happened", "  greenctl events web --follow", 0, -1, kFlagFollow,
       Events},
      {"apply", "", kChange, "-f FILE", "make the pools as a file has them",
       "Each pool of the file is created, or changed where it differs. Others stay.\n"
       "  greenctl apply -f pools.yaml --dry-run\n"
       "  greenctl get pools web -o yaml | sed s/UCONTEXT/FCONTEXT/ | greenctl apply -f -",
       0, 0, kFlagFile | kFlagsOfChange | kFlagCanary, Apply},
      {"set", "", kChange, "POOL FIELD=VALUE...", "change fields of a pool",
       "Values are as in YAML; an empty one is the default.\n"
       "  greenctl set web async_cores=512 stack_size_bytes=512KiB --canary 10%\n"
       "  greenctl set web timeouts.drain=10s timeouts.request=\n"
       "  greenctl set web application.environment.DEBUG=1 'recycling={requests_max: 10000}'",
       2, -1, kFlagsOfChange | kFlagCanary, Set},
      {"scale", "", kChange, "POOL WORKERS", "change how many workers a pool has", "  greenctl scale web 4", 2, 2,
       kFlagsOfChange, Scale},
      {"engine", "", kChange, "POOL ENGINE",
       "change what its cores are made of: ucontext, fcontext, thread, greenlet or gevent",
       "  greenctl engine web fcontext --canary 10% --canary-duration 60s", 2, 2, kFlagsOfChange | kFlagCanary,
       SetEngine},
      {"delete", "", kChange, "POOL...", "drain a pool and forget it", "  greenctl delete web", 1, -1, kFlagWait,
       Delete},
      {"reload", "", kOperate, "POOL...", "new workers with the code as it is now, before the old ones stop",
       "When a new worker cannot be started, all old ones stay.\n  greenctl reload web", 1, -1, kFlagWait, Reload},
      {"drain", "", kOperate, "POOL...", "let requests finish, then end the workers; connections wait",
       "  greenctl drain web; greenctl resume web", 1, -1, kFlagWait, Drain},
      {"resume", "", kOperate, "POOL...", "start the workers of a drained pool", "  greenctl resume web", 1, -1,
       kFlagWait, Resume},
      {"restart", "", kOperate, "WORKER...", "replace a worker; the new one is ready before it stops",
       "  greenctl restart web/3", 1, -1, kFlagWait, Restart},
      {"cancel", "", kOperate, "REQUEST|OPERATION...", "interrupt a request, or undo a change that is on its way",
       "  greenctl cancel web/3/17 --reason 'runs away'\n  greenctl cancel operations/42", 1, -1, kFlagReason, Cancel},
      {"validate", "", kOther, "FILE...", "check configuration files; needs no server",
       "  greenctl validate greenring.yaml", 1, -1, 0, ValidateFiles},
      {"completion", "", kOther, "bash|zsh|fish", "a script that makes the shell complete greenctl's words",
       "  source <(greenctl completion bash)\n"
       "  greenctl completion zsh > \"${fpath[1]}/_greenctl\"\n"
       "  greenctl completion fish > ~/.config/fish/completions/greenctl.fish",
       1, 1, 0, Completion},
      {"version", "", kOther, "", "of greenctl, and of the server when one answers", "", 0, 0, 0, Version},
      {"help", "", kOther, "[COMMAND]", "help about a command", "", 0, 1, 0, Help},
      {"__complete", "", "", "", "candidates for the last of these words, for the completion scripts", "", 0, -1, 0,
       Complete},
  };
  return *commands;
}

const Command* FindCommand(absl::string_view name) {
  for (const Command& command : Commands()) {
    if (name == command.name || (*command.alias && name == command.alias)) return &command;
  }
  return nullptr;
}

}  // namespace greenring::greenctl
