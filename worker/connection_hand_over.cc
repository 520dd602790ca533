// The part of a Connection that goes from one pool's worker to another's.
#include <utility>

#include "protocol/request_head.h"
#include "worker/connection.h"
#include "worker/hand_over.h"
#include "worker/http_service.h"
#include "worker/route_table.h"

namespace greenring::worker {

void Connection::StartWith(std::string_view received) {
  handed_over_ = true;
  Start();
  OnData(received);
}

void Connection::StartRefused(std::string_view received, std::string_view reason) {
  Start();
  exchange_ = service_->TakeExchange(this);
  exchange_->Append(received);
  exchange_->ParseHead(service_->limits());  // what the access log says of it
  Refuse(503, reason, kRetryAfterS);
}

// Whether the request is this pool's: else it is refused, or handed over.
bool Connection::Route() {
  const protocol::RequestHead& head = exchange_->head();
  const RouteTable& routes = listener_->routes;
  const bool is_first = std::exchange(handed_over_, false);
  if (routes.empty()) return true;
  const RouteTable::Match match = is_first
                                      ? routes.FindOf(RouteTable::kOwnPool, head.host, head.path, head.path_decoded)
                                      : routes.Find(head.host, head.path, head.path_decoded);
  switch (match.pool) {
    case RouteTable::kOwnPool:
      exchange_->set_script_name_bytes(match.prefix_bytes);
      return true;
    case RouteTable::kNoPool:
      Refuse(404, "no application is served here");
      return false;
    default:
      MoveTo(State::kHandingOver);
      service_->WaitForClient(this);
      stream_.Detach();  // OnClosed goes on
      return false;
  }
}

void Connection::FinishHandOver() {
  UniqueFd fd = stream_.TakeFd();
  if (fd.valid()) {  // else the client is gone
    service_->HandOver(listener_, exchange_->head(),
                       {.address = listener_->address, .received = exchange_->Received(), .fd = std::move(fd)});
  }
  ReleaseExchange();
}

}  // namespace greenring::worker
