#include "tools/greenctl/event_stream.h"

#include <utility>

#include "tools/greenctl/commands.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/tables.h"

namespace greenring::greenctl {
namespace {

absl::StatusOr<std::vector<std::string>> PoolNames(const std::vector<std::string>& texts) {
  std::vector<std::string> names;
  for (const std::string& text : texts) {
    absl::StatusOr<std::string> name = PoolName(text);
    if (!name.ok()) return name.status();
    names.push_back(*std::move(name));
  }
  return names;
}

absl::Status FollowEvents(Session& session, Client& client) {
  const absl::StatusOr<std::vector<std::string>> pools = PoolNames(session.arguments());
  if (!pools.ok()) return pools.status();
  v1::WatchRequest request;
  *request.mutable_pools() = {pools->begin(), pools->end()};
  // In the API 0 means only new ones; to greenctl, all after the one before the first.
  request.set_after_event(session.options().after_event > 0 ? session.options().after_event : -1);
  Cancellation cancellation;
  Interrupt::Handler handler(session.environment().interrupt, [&cancellation] { cancellation.Cancel(); });
  absl::Status printed;
  const absl::Status status = client.Watch(request, &cancellation, [&](const v1::WatchResponse& response) {
    printed = PrintWatched(session, response);
    return printed.ok();
  });
  if (cancellation.cancelled()) return WithExitCode(absl::CancelledError("interrupted"), kExitInterrupted);
  return printed.ok() ? status : printed;
}

}  // namespace

absl::Status PrintWatched(Session& session, const v1::WatchResponse& response) {
  if (session.structured()) return session.PrintDocumentLine(response);
  if (response.has_event()) session.out() << EventLine(response.event()) << std::endl;
  if (response.events_lost() > 0) {
    session.err() << "greenctl: " << response.events_lost() << " events were lost: they came too fast" << std::endl;
  }
  return absl::OkStatus();
}

absl::Status PrintKnownEvents(Session& session, Client& client, const std::vector<std::string>& pools) {
  const absl::StatusOr<std::vector<std::string>> names = PoolNames(pools);
  if (!names.ok()) return names.status();
  const absl::StatusOr<v1::ListEventsResponse> response = client.ListEvents(*names, session.options().after_event);
  if (!response.ok()) return response.status();
  const google::protobuf::RepeatedPtrField<v1::Event>& events = response->events();
  if (session.structured()) {
    for (const v1::Event& event : events) {
      if (const absl::Status printed = session.PrintDocumentLine(event); !printed.ok()) return printed;
    }
    return absl::OkStatus();
  }
  if (events.empty()) {
    if (!session.options().quiet) session.err() << "no events\n";
    return absl::OkStatus();
  }
  session.Print(EventTable(events, session.options().format == OutputFormat::kWide));
  return absl::OkStatus();
}

absl::Status Events(Session& session) {
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  return session.options().follow ? FollowEvents(session, **client)
                                  : PrintKnownEvents(session, **client, session.arguments());
}

}  // namespace greenring::greenctl
