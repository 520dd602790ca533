// Events of the server, those that are still known and those that come.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "greenring/control/v1/server_service.pb.h"
#include "tools/greenctl/session.h"

namespace greenring::greenctl {

// One message of a stream as the line that -o asks for; statistics only in documents. Streams, and lists of events, are
// JSON objects one a line.
absl::Status PrintWatched(Session& session, const v1::WatchResponse& response);

// As the list that -o asks for. `pools` in either form; empty: of all. Blocks until the server has answered.
absl::Status PrintKnownEvents(Session& session, Client& client, const std::vector<std::string>& pools);

}  // namespace greenring::greenctl
