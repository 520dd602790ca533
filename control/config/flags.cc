#include "control/config/flags.h"

#include <getopt.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/config/config_file.h"
#include "control/config/flag_table.h"
#include "control/config/nearest.h"
#include "control/config/pool_config.h"
#include "control/config/pool_limits.h"
#include "control/config/utf8.h"

namespace greenring::control {
namespace {

constexpr char kPoolName[] = "web";
constexpr size_t kHelpColumns = 100;
constexpr size_t kHelpIndent = 8;

absl::Status Invalid(const std::string& what) { return absl::InvalidArgumentError(what); }

struct GivenFlag {
  const Flag* flag;
  std::string text;

  std::string Text() const {
    return absl::StrCat("--", flag->name, flag->value != nullptr ? absl::StrCat("=", text) : "");
  }
};

// "--Async-Cores=4" as "--Async_Cores=4" is spelled.
std::string Normalised(std::string_view argument) {
  std::string text(argument);
  if (text.compare(0, 2, "--") != 0) return text;
  const size_t end = std::min(text.find('='), text.size());
  std::replace(text.begin() + 2, text.begin() + static_cast<std::ptrdiff_t>(end), '-', '_');
  return text;
}

struct Elsewhere {
  const char* name;
  const char* here;
};

// Options of uWSGI and gunicorn that somebody may type by habit.
constexpr Elsewhere kElsewhere[] = {
    {"--async", "--async_cores=N"},
    {"--bind", "--http=ADDRESS"},
    {"--gevent", "--engine=gevent"},
    {"--gevent_early_monkey_patch", "--gevent_monkey_patch"},
    {"--greenlet", "--engine=greenlet"},
    {"--harakiri", "--request_timeout=TIME"},
    {"--http_socket", "--http=ADDRESS"},
    {"--module", "--app=MODULE:CALLABLE"},
    {"--processes", "--workers=N"},
    {"--socket", "--uwsgi=ADDRESS"},
    {"--threads", "--async_cores=N"},
    {"--timeout", "--request_timeout=TIME"},
    {"--ugreen", "--engine=ucontext"},
    {"--ugreen_stacksize", "--stack_pages=N"},
    {"--uwsgi_socket", "--uwsgi=ADDRESS"},
    {"--worker_class", "--engine=NAME"},
    {"--worker_connections", "--async_cores=N"},
    {"--wsgi_file", "--app=FILE.py"},
};

absl::Status UnknownFlag(const std::string& argument) {
  const std::string name = argument.substr(0, argument.find('='));
  for (const Elsewhere& option : kElsewhere) {
    if (name != option.name) continue;
    return Invalid(absl::StrCat("unknown flag ", argument, " (here it is ", option.here,
                                "; docs/MIGRATION.md has the others); --help lists them"));
  }
  std::vector<std::string> names;
  for (const Flag& flag : Flags()) names.push_back(absl::StrCat("--", flag.name));
  return Invalid(absl::StrCat("unknown flag ", argument, DidYouMean(name, names), "; --help lists them"));
}

absl::Status Misplaced(const std::string& argument) {
  return Invalid(absl::StrCat("unexpected argument ", argument, "; the application is named by --app=module:callable"));
}

const Flag* Find(std::string_view name) {
  for (const Flag& flag : Flags()) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

// Splits the command line with getopt_long(3); says what is no flag, or lacks its value.
absl::StatusOr<std::vector<GivenFlag>> Split(int argc, char** argv) {
  std::vector<option> table;
  for (const Flag& flag : Flags()) {
    table.push_back({flag.name, flag.value != nullptr ? required_argument : no_argument, nullptr, 0});
  }
  table.push_back({nullptr, 0, nullptr, 0});
  std::vector<std::string> texts;
  for (int i = 0; i < argc; ++i) texts.push_back(Normalised(argv[i]));
  std::vector<char*> arguments;
  for (std::string& text : texts) arguments.push_back(text.data());
  arguments.push_back(nullptr);

  std::vector<GivenFlag> given;
  optind = 0;  // glibc: start anew
  opterr = 0;
  for (;;) {
    const int at = std::max(optind, 1);
    int index = -1;
    const int code = getopt_long(argc, arguments.data(), "+:hw:", table.data(), &index);
    if (code == -1) break;
    const std::string argument = at < argc ? texts[static_cast<size_t>(at)] : "";
    const std::string name = absl::StartsWith(argument, "--") ? argument.substr(2, argument.find('=') - 2) : "";
    const Flag* flag = code == 'h'   ? Find("help")
                       : code == 'w' ? Find("workers")
                                     : Find(name);  // not what getopt takes an abbreviation for
    if (code == ':') return Invalid(absl::StrCat(argument, " needs a value"));
    if (code == '?' && flag != nullptr) return Invalid(absl::StrCat("--", flag->name, " takes no value"));
    if (code == '?' || flag == nullptr) return UnknownFlag(argument);
    given.push_back({flag, optarg != nullptr ? optarg : ""});
  }
  if (optind < argc) return Misplaced(texts[static_cast<size_t>(optind)]);
  return given;
}

absl::Status Apply(const std::vector<GivenFlag>& given, FlagTarget* target) {
  for (const GivenFlag& one : given) {
    if (!IsUtf8(one.text)) return Invalid(absl::StrCat("--", one.flag->name, ": must be UTF-8"));
    absl::Status status = ApplyFlag(*one.flag, one.text, target);
    if (!status.ok()) return Invalid(absl::StrCat(one.Text(), ": ", status.message()));
  }
  const bool any = !target->pool.listeners().empty();
  if (target->listen_backlog != 0 && !any) target->pool.add_listeners()->set_address(kListenerDefault);
  for (v1::Listener& listener : *target->pool.mutable_listeners()) listener.set_backlog(target->listen_backlog);
  return absl::OkStatus();
}

const GivenFlag* FirstOf(const std::vector<GivenFlag>& given, std::initializer_list<FlagScope> scopes) {
  for (const GivenFlag& one : given) {
    for (const FlagScope scope : scopes) {
      if (one.flag->scope == scope) return &one;
    }
  }
  return nullptr;
}

// Which flags cannot stand beside which.
absl::Status CheckTogether(const std::vector<GivenFlag>& given, const FlagTarget& target) {
  const GivenFlag* of_pool = FirstOf(given, {FlagScope::kPool, FlagScope::kPoolOfMaster});
  if (!target.config_path.empty() && of_pool != nullptr) {
    return Invalid(absl::StrCat(of_pool->Text(), " cannot stand beside --config: set ", of_pool->flag->field,
                                " in the pool it is for, in ", target.config_path));
  }
  if (!target.is_alone) return absl::OkStatus();
  for (const GivenFlag& one : given) {
    const bool is_one_worker = std::string_view(one.flag->name) == "workers" && target.pool.workers() == 1;
    const bool needs_master = one.flag->scope == FlagScope::kPoolOfMaster || one.flag->scope == FlagScope::kMaster;
    if (needs_master && !is_one_worker) {
      return Invalid(absl::StrCat(one.Text(), " needs a master: leave --master=off out"));
    }
  }
  return absl::OkStatus();
}

// What flags say of the whole server wins over the file.
absl::StatusOr<v1::Configuration> FromFile(const FlagTarget& target) {
  absl::StatusOr<v1::Configuration> configuration = LoadConfiguration(target.config_path);
  if (!configuration.ok()) return configuration;
  if (!target.configuration.control().addresses().empty()) configuration->mutable_control()->clear_addresses();
  configuration->MergeFrom(target.configuration);
  return configuration;
}

v1::Configuration FromFlags(const std::vector<GivenFlag>& given, const FlagTarget& target) {
  v1::Configuration configuration = target.configuration;
  // Without any pool in the flags those that were kept are served.
  const bool any_pool = FirstOf(given, {FlagScope::kPool, FlagScope::kPoolOfMaster}) != nullptr;
  if (!any_pool && !configuration.state_directory().empty()) return configuration;
  v1::Pool* pool = configuration.add_pools();
  *pool = target.pool;
  if (pool->name().empty()) pool->set_name(kPoolName);
  return configuration;
}

// The flag that has set a field of the configuration; "" when none has.
std::string SourceOf(std::string field, const std::vector<GivenFlag>& given) {
  constexpr std::string_view kPool = "pools[0].";
  const bool in_pool = field.compare(0, kPool.size(), kPool) == 0;
  if (in_pool) field.erase(0, kPool.size());
  std::string source;
  for (const GivenFlag& one : given) {
    const bool is_of_pool = one.flag->scope == FlagScope::kPool || one.flag->scope == FlagScope::kPoolOfMaster;
    const std::string_view name = one.flag->field;
    const bool covers = !name.empty() && field.compare(0, name.size(), name) == 0 &&
                        (field.size() == name.size() || field[name.size()] == '.' || field[name.size()] == '[');
    if (covers && is_of_pool == in_pool) source = absl::StrCat("--", one.flag->name);
  }
  return source;
}

absl::Status Check(const v1::Configuration& configuration, const std::vector<GivenFlag>& given) {
  std::string text;
  for (const FieldViolation& violation : Validate(configuration)) {
    if (violation.field == "pools[0].application.target") {
      return Invalid("no application: name one with --app=module:callable; --help lists all flags");
    }
    const std::string source = SourceOf(violation.field, given);
    absl::StrAppend(&text, text.empty() ? "" : "; ", source.empty() ? violation.field : source, ": ",
                    violation.description);
  }
  return text.empty() ? absl::OkStatus() : Invalid(text);
}

// What one process without a master can do. (Filled in.)
absl::Status CheckAlone(const v1::Configuration& configuration) {
  const auto needs_master = [](const std::string& field) {
    return Invalid(absl::StrCat(field, " needs a master: leave --master=off out"));
  };
  if (configuration.pools_size() != 1 || configuration.pools(0).workers() != 1) {
    return Invalid("--master=off is for one pool with one worker");
  }
  const v1::Pool& pool = configuration.pools(0);
  if (pool.cpu_affinity().policy() != v1::CpuAffinity::NONE) return needs_master("pools[0].cpu_affinity");
  for (int i = 0; i < pool.listeners_size(); ++i) {
    const std::string& mode = pool.listeners(i).unix_mode();
    if (!mode.empty() && mode != "666") return needs_master(absl::StrCat("pools[0].listeners[", i, "].unix_mode"));
  }
  return absl::OkStatus();
}

CommandLine::Mode ModeOf(const FlagTarget& target) {
  if (target.is_help) return CommandLine::Mode::kHelp;
  if (target.is_version) return CommandLine::Mode::kVersion;
  if (target.is_validate) return CommandLine::Mode::kValidate;
  return target.is_alone ? CommandLine::Mode::kAlone : CommandLine::Mode::kServe;
}

// `text` in lines of at most kHelpColumns.
void AppendWrapped(absl::string_view text, std::string* out) {
  std::string line;
  const auto flush = [&line, out] {
    absl::StrAppend(out, std::string(kHelpIndent, ' '), line, "\n");
    line.clear();
  };
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (!line.empty() && kHelpIndent + line.size() + 1 + word.size() > kHelpColumns) flush();
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  flush();
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc, char** argv) {
  absl::StatusOr<std::vector<GivenFlag>> given = Split(argc, argv);
  if (!given.ok()) return given.status();
  CommandLine line;
  FlagTarget target;
  // Who asks for help is not told what else is wrong.
  for (const GivenFlag& one : *given) {
    if (std::string_view(one.flag->name) == "help") line.mode = CommandLine::Mode::kHelp;
  }
  if (line.mode == CommandLine::Mode::kHelp) return line;
  if (absl::Status status = Apply(*given, &target); !status.ok()) return status;
  line.mode = ModeOf(target);
  if (line.mode == CommandLine::Mode::kVersion) return line;
  if (absl::Status status = CheckTogether(*given, target); !status.ok()) return status;
  if (target.config_path.empty()) {
    line.configuration = FromFlags(*given, target);
  } else {
    absl::StatusOr<v1::Configuration> configuration = FromFile(target);
    if (!configuration.ok()) return configuration.status();
    line.configuration = *std::move(configuration);
  }
  if (absl::Status status = Check(line.configuration, *given); !status.ok()) return status;
  FillDefaults(&line.configuration);
  if (target.is_alone) {
    if (absl::Status status = CheckAlone(line.configuration); !status.ok()) return status;
  }
  return line;
}

std::string HelpText() {
  std::string text =
      "Greenring serves blocking WSGI applications on green threads and io_uring.\n\n"
      "usage: server --app=module:callable [flags]\n"
      "       server --config=FILE [flags of the server]\n";
  const Flag* before = nullptr;
  for (const Flag& flag : Flags()) {
    if (before == nullptr || before->topic != flag.topic) absl::StrAppend(&text, "\n", TopicText(flag.topic), "\n\n");
    absl::StrAppend(&text, "  --", flag.name, flag.value != nullptr ? "=" : "", flag.value != nullptr ? flag.value : "",
                    "\n");
    AppendWrapped(flag.help, &text);
    before = &flag;
  }
  absl::StrAppend(&text,
                  "\nSIGTERM and SIGINT finish the requests in flight and exit 0; a second one exits at once. SIGHUP\n"
                  "reloads, SIGTTIN and SIGTTOU add and remove a worker. Exit codes: 1, it could not serve; 2, wrong\n"
                  "flags or configuration; 3, with --master=off: it has drained by itself and has to be replaced.\n");
  return text;
}

}  // namespace greenring::control
