#include "tools/greenctl/top/top.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/top/feed.h"
#include "tools/greenctl/top/render.h"
#include "tools/greenctl/top/terminal.h"

namespace greenring::greenctl {
namespace {

constexpr absl::Duration kKeyTimeout = absl::Milliseconds(100);  // how soon news are drawn
constexpr absl::Duration kIntervalMin = absl::Milliseconds(100);

void Show(Terminal* terminal, SharedModel* shared, Feed* feed, const std::atomic<bool>& stop) {
  while (!stop) {
    {
      absl::MutexLock lock(&shared->mutex);
      terminal->Draw(Render(shared->model, terminal->width(), terminal->height(), absl::Now()));
    }
    const int key = terminal->ReadKey(kKeyTimeout);
    absl::MutexLock lock(&shared->mutex);
    const Model::Action action = shared->model.OnKey(key);
    if (action.kind == Model::Action::kQuit) return;
    if (action.kind != Model::Action::kNone) feed->Do(action);
  }
}

}  // namespace

absl::Status Top(Session& session) {
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  std::vector<std::string> pools;
  for (const std::string& text : session.arguments()) {
    absl::StatusOr<std::string> name = PoolName(text);
    if (!name.ok()) return name.status();
    if (const absl::Status status = (*client)->GetPool(*name).status(); !status.ok()) return status;
    pools.push_back(*std::move(name));
  }
  const absl::StatusOr<v1::Server> server = (*client)->GetServer();
  if (!server.ok()) return server.status();
  std::atomic<bool> stop{false};
  Interrupt::Handler handler(session.environment().interrupt, [&stop] { stop = true; });
  absl::StatusOr<std::unique_ptr<Terminal>> terminal = Terminal::Open(session.options().color);
  if (!terminal.ok()) {
    return WithHint(terminal.status(), "greenctl watch and greenctl ps print lines, for pipes and logs");
  }
  SharedModel shared((*client)->address());
  {
    absl::MutexLock lock(&shared.mutex);
    shared.model.OnServer(*server);
  }
  Feed feed(*client, std::move(pools), std::max(session.options().interval, kIntervalMin), &shared);
  Show(terminal->get(), &shared, &feed, stop);
  terminal->reset();  // before anything that may take a moment
  return absl::OkStatus();
}

}  // namespace greenring::greenctl
