#include "tools/greenctl/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/config/nearest.h"
#include "control/config/pool_config.h"
#include "control/config/quantities.h"
#include "tools/greenctl/commands.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"

namespace greenring::greenctl {
namespace {

// "greenctl scale POOL WORKERS [flags]" instead of what can be derived from the options.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(34); }

  std::string make_usage(const CLI::App* app, std::string) const override {
    const Command* command = FindCommand(app->get_name());
    if (command == nullptr) return "\nusage: greenctl COMMAND [arguments] [flags]\n";
    return absl::StrCat("\nusage: greenctl ", command->name, *command->usage ? " " : "", command->usage, " [flags]\n");
  }
  std::string make_positionals(const CLI::App*) const override { return ""; }
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_type_size() == 0 ? "" : " " + option->get_type_name();
  }
};

CLI::Option* AddDuration(CLI::App* app, const std::string& name, const std::string& help,
                         std::function<void(absl::Duration)> set) {
  return app
      ->add_option_function<std::string>(
          name,
          [set = std::move(set), name](const std::string& text) {
            const std::optional<absl::Duration> duration = control::DurationFromText(text);
            if (!duration) throw CLI::ValidationError(name, absl::StrCat("\"", text, "\" is no duration, as in 30s"));
            set(*duration);
          },
          help)
      ->type_name("DURATION");
}

void AddCanaryFlags(CLI::App* app, v1::Canary* canary) {
  app->add_option_function<std::string>(
         "--canary",
         [canary](const std::string& text) {
           int percent;
           if (!absl::SimpleAtoi(std::string(absl::StripSuffix(text, "%")), &percent) || percent < 1 || percent > 99) {
             throw CLI::ValidationError("--canary", "a share of the cores from 1% to 99%, not \"" + text + "\"");
           }
           canary->set_percent(percent);
         },
         "change this share of the cores first, and the others when those do no worse")
      ->type_name("PERCENT");
  AddDuration(app, "--canary-duration", "how long to watch the canary (60s)",
              [canary](absl::Duration duration) { *canary->mutable_duration() = control::ToProto(duration); });
  auto add_number = [app](const std::string& name, const std::string& help, std::function<void(double)> set) {
    app->add_option_function<double>(
           name,
           [name, set = std::move(set)](double value) {
             if (!(value >= 0)) throw CLI::ValidationError(name, "is a number from 0 on");
             set(value);
           },
           help)
        ->type_name("NUMBER");
  };
  add_number("--canary-error-rise", "roll back when errors rise by more percentage points (1)",
             [canary](double value) { canary->set_error_rate_rise_percent(value); });
  add_number("--canary-p99-rise", "roll back when p99 rises by more percent (25)",
             [canary](double value) { canary->set_p99_rise_percent(value); });
  add_number("--canary-requests-min", "requests that it must serve to be judged (100)",
             [canary](double value) { canary->set_requests_min(static_cast<int64_t>(value)); });
}

void AddGlobalFlags(CLI::App* app, Options* options) {
  static const std::map<std::string, OutputFormat> kFormats = {{"table", OutputFormat::kTable},
                                                               {"wide", OutputFormat::kWide},
                                                               {"json", OutputFormat::kJson},
                                                               {"yaml", OutputFormat::kYaml},
                                                               {"name", OutputFormat::kName}};
  app->add_option("-s,--server", options->connection.address,
                  "unix:/path or host:port; default: $GREENRING_CONTROL, or the server's own default")
      ->type_name("ADDRESS");
  app->add_option("--tls-certificate", options->connection.tls_certificate, "for host:port: this client's, PEM")
      ->type_name("FILE");
  app->add_option("--tls-key", options->connection.tls_key, "for host:port: its key, PEM")->type_name("FILE");
  app->add_option("--tls-ca", options->connection.tls_ca, "for host:port: who signed the server's, PEM")
      ->type_name("FILE");
  app->add_option_function<std::string>(
         "-o,--output",
         [options](const std::string& name) {
           const auto format = kFormats.find(name);
           if (format == kFormats.end()) {
             throw CLI::ValidationError("--output", "is table, wide, json, yaml or name, not \"" + name + "\"");
           }
           options->format = format->second;
         },
         "table, wide, json, yaml or name")
      ->type_name("FORMAT");
  AddDuration(app, "--timeout", "how long to wait altogether (no limit)",
              [options](absl::Duration timeout) { options->timeout = timeout; });
  app->add_flag_callback(
      "--no-color", [options] { options->color = false; }, "plain text, as $NO_COLOR asks for too");
  app->add_flag("-q,--quiet", options->quiet, "errors only");
}

void AddFlags(CLI::App* app, unsigned flags, Options* options) {
  if (flags & kFlagFile)
    app->add_option("-f,--file", options->file, "YAML or textproto; - for stdin")->type_name("FILE");
  if (flags & kFlagDryRun) app->add_flag("--dry-run", options->dry_run, "have the server check it, and change nothing");
  if (flags & kFlagWait) {
    app->add_flag_callback(
        "--no-wait", [options] { options->wait = false; }, "begin it, and do not wait for its end");
  }
  if (flags & kFlagCanary) AddCanaryFlags(app, &options->canary);
  if (flags & kFlagAll) app->add_flag("-a,--all", options->all, "workers that have ended, too");
  if (flags & kFlagAge) {
    AddDuration(app, "--age-min", "requests that are at least so old",
                [options](absl::Duration age) { options->age_min = age; });
  }
  if (flags & kFlagFollow) {
    app->add_flag("-f,--follow", options->follow, "go on with new ones as they come");
    app->add_option("--after", options->after_event, "only events after the one with this number")->type_name("ID");
  }
  if (flags & kFlagInterval) {
    AddDuration(app, "--interval", "between two looks (1s)",
                [options](absl::Duration interval) { options->interval = interval; });
  }
  if (flags & kFlagCount) {
    app->add_option("-n,--count", options->count, "end after so many intervals")->type_name("NUMBER");
  }
  if (flags & kFlagReason) {
    app->add_option("--reason", options->reason, "what the interrupted code is told")->type_name("TEXT");
  }
}

std::unique_ptr<CLI::App> MakeApp(Options* options) {
  auto app = std::make_unique<CLI::App>("greenctl shows and changes what a Greenring server does.", "greenctl");
  app->formatter(std::make_shared<HelpFormatter>());
  app->set_help_flag("-h,--help", "help about the command");
  app->require_subcommand(1);
  app->fallthrough();
  AddGlobalFlags(app.get(), options);
  app->footer(
      "Names: web is a pool, web/3 a worker, web/3/17 a request, operations/42 an operation.\n"
      "greenctl help COMMAND tells more about a command.");
  for (const Command& command : Commands()) {
    CLI::App* sub = app->add_subcommand(command.name, command.help)->group(command.group);
    sub->footer(command.details);
    if (*command.alias) sub->alias(command.alias);
    sub->add_option("arguments", options->arguments)->group("");
    AddFlags(sub, command.flags, options);
  }
  return app;
}

// --tls_key is --tls-key: the server's flags are written with either, too.
std::vector<std::string> WithHyphens(std::vector<std::string> arguments) {
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    if (!absl::StartsWith(argument, "--")) continue;
    const size_t end = std::min(argument.find('='), argument.size());
    std::replace(argument.begin(), argument.begin() + end, '_', '-');
  }
  return arguments;
}

std::string SeeHelp(const std::string& command) {
  return command.empty() ? "greenctl help lists the commands" : absl::StrCat("greenctl help ", command, " tells more");
}

// What was not understood: the first of `extras`.
absl::Status Unexpected(const std::string& command, const std::string& extra) {
  std::vector<std::string> known;
  if (absl::StartsWith(extra, "-")) {
    for (const CommandDescription& description : DescribeCommands()) {
      if (description.name != command) continue;
      for (const FlagDescription& flag : description.flags) known.push_back(flag.names[0]);
    }
    return WithHint(UsageError(absl::StrCat("there is no flag ", Printable(extra), control::DidYouMean(extra, known))),
                    SeeHelp(command));
  }
  for (const Command& each : Commands()) known.push_back(each.name);
  return WithHint(
      UsageError(absl::StrCat("there is no command \"", Printable(extra), "\"", control::DidYouMean(extra, known))),
      SeeHelp(""));
}

absl::Status CheckArguments(const Command& command, size_t count) {
  const auto max = static_cast<size_t>(command.arguments_max < 0 ? count : command.arguments_max);
  if (count >= static_cast<size_t>(command.arguments_min) && count <= max) return absl::OkStatus();
  return WithHint(UsageError(absl::StrCat("usage: greenctl ", command.name, *command.usage ? " " : "", command.usage)),
                  SeeHelp(command.name));
}

std::string DefaultAddress(const Environment& environment) {
  const std::string address = environment.variable("GREENRING_CONTROL");
  return address.empty() ? control::DefaultControlAddress() : address;
}

}  // namespace

absl::StatusOr<Options> ParseCommandLine(const std::vector<std::string>& arguments, const Environment& environment) {
  Options options;
  std::unique_ptr<CLI::App> app = MakeApp(&options);
  std::vector<std::string> reversed = WithHyphens(arguments);
  std::reverse(reversed.begin(), reversed.end());  // as CLI11 takes them
  auto parsed = [&] {
    const auto subcommands = app->get_subcommands();
    return subcommands.empty() ? std::string() : subcommands[0]->get_name();
  };
  try {
    app->parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    options.command = "help";
    options.arguments.clear();
    if (!parsed().empty()) options.arguments.push_back(parsed());
    return options;
  } catch (const CLI::ExtrasError&) {
    return Unexpected(parsed(), app->remaining(/*recurse=*/true)[0]);
  } catch (const CLI::RequiredError&) {
    const std::vector<std::string> rest = app->remaining(/*recurse=*/true);
    if (!rest.empty()) return Unexpected("", rest[0]);
    return WithHint(UsageError("a command is needed: greenctl COMMAND"), SeeHelp(""));
  } catch (const CLI::ParseError& error) {
    return WithHint(UsageError(error.what()), SeeHelp(parsed()));
  }
  options.command = parsed();
  if (absl::Status status = CheckArguments(*FindCommand(options.command), options.arguments.size()); !status.ok()) {
    return status;
  }
  if (options.connection.address.empty()) options.connection.address = DefaultAddress(environment);
  if (!environment.variable("NO_COLOR").empty()) options.color = false;
  return options;
}

absl::StatusOr<std::string> HelpText(const std::string& command) {
  Options options;
  std::unique_ptr<CLI::App> app = MakeApp(&options);
  if (command.empty()) return app->help();
  if (FindCommand(command) == nullptr) return Unexpected("", command);
  return app->get_subcommand(command)->help() + "\nFlags of every command: greenctl help\n";
}

std::vector<CommandDescription> DescribeCommands() {
  Options options;
  std::unique_ptr<CLI::App> app = MakeApp(&options);
  auto flags_of = [](const CLI::App* of) {
    std::vector<FlagDescription> flags;
    for (const CLI::Option* option : of->get_options()) {
      if (!option->nonpositional()) continue;
      FlagDescription flag{{}, option->get_description(), option->get_type_size() != 0};
      for (const std::string& name : option->get_lnames()) flag.names.push_back("--" + name);
      for (const std::string& name : option->get_snames()) flag.names.push_back("-" + name);
      flags.push_back(std::move(flag));
    }
    return flags;
  };
  std::vector<CommandDescription> commands;
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) {
    CommandDescription command{.name = sub->get_name(), .help = sub->get_description(), .flags = flags_of(sub)};
    for (FlagDescription& flag : flags_of(app.get())) {
      if (flag.names[0] != "--help") command.flags.push_back(std::move(flag));
    }
    commands.push_back(std::move(command));
  }
  return commands;
}

}  // namespace greenring::greenctl
