// One run of a command: what was asked for, where results go, and the connection, made when it is first needed.
#pragma once

#include <memory>
#include <ostream>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "tools/greenctl/client.h"
#include "tools/greenctl/environment.h"
#include "tools/greenctl/options.h"
#include "tools/greenctl/table.h"

namespace greenring::greenctl {

class Session {
 public:
  // --timeout begins now.
  Session(Options options, Environment* environment);

  const Options& options() const { return options_; }
  const std::vector<std::string>& arguments() const { return options_.arguments; }
  Environment& environment() { return *environment_; }
  std::ostream& out() { return *environment_->out; }
  std::ostream& err() { return *environment_->err; }

  absl::StatusOr<Client*> client();

  // Whether results are a document (JSON or YAML) and not for people.
  bool structured() const;

  // As the document that -o asks for; precondition: structured().
  absl::Status PrintDocument(const google::protobuf::Message& message);
  // The same in one line, for streams: JSON in any case.
  absl::Status PrintDocumentLine(const google::protobuf::Message& message);

  // For a terminal, lines are cut at its width unless all was asked for (-o wide).
  void Print(const Table& table);

  // Unless --quiet.
  void Say(const std::string& line);

 private:
  const Options options_;
  Environment* const environment_;
  const absl::Time deadline_;
  std::unique_ptr<Client> client_;
};

}  // namespace greenring::greenctl
