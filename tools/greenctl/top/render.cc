#include "tools/greenctl/top/render.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/config/quantities.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/tables.h"

namespace greenring::greenctl {
namespace {

Style StyleOf(v1::PoolStatus::State state) {
  switch (state) {
    case v1::PoolStatus::READY:
      return Style::kGood;
    case v1::PoolStatus::START_FAILED:
      return Style::kBad;
    case v1::PoolStatus::DRAINED:
      return Style::kDim;
    default:
      return Style::kWarning;
  }
}

// "[|||     ] 12/512"
std::string Bar(int busy, int total, int width) {
  const int filled = total > 0 ? std::min(width, (busy * width + total - 1) / total) : 0;
  return absl::StrCat("[", std::string(filled, '|'), std::string(width - filled, ' '), "]");
}

// That its workers can have: cores that have had no work yet do not exist, and `busy of those that exist` would look
// full.
int CoresOf(const v1::Pool& pool) { return pool.status().workers_ready() * pool.async_cores(); }

std::string DurationOrDash(absl::Duration duration) {
  return duration > absl::ZeroDuration() ? HumanDuration(duration) : "-";
}

Row ServerRow(const Model& model, absl::Time now) {
  const v1::Server& server = model.server();
  std::string text = "greenring";
  if (!server.version().empty()) absl::StrAppend(&text, " ", server.version());
  if (server.pid() != 0) absl::StrAppend(&text, "  pid ", server.pid());
  if (server.has_start_time())
    absl::StrAppend(&text, "  up ", HumanDuration(now - control::FromProto(server.start_time())));
  if (!server.python_version().empty()) absl::StrAppend(&text, "  Python ", server.python_version());
  absl::StrAppend(&text, "  ", model.address());
  Row row = {{Printable(text), Style::kBold}};
  if (server.draining()) row.push_back({"  DRAINING", Style::kWarning});
  if (model.paused()) row.push_back({"  PAUSED", Style::kWarning});
  return row;
}

Row TotalRow(const Model& model) {
  if (!model.problem().empty()) {
    return {{absl::StrCat("no connection, trying again: ", Printable(model.problem())), Style::kBad}};
  }
  int ready = 0, workers = 0, cores = 0, busy = 0;
  int64_t rss_bytes = 0;
  Rates total;
  const std::vector<Model::PoolView> pools = model.Pools();
  for (const Model::PoolView& view : pools) {
    ready += view.pool.status().workers_ready();
    workers += view.pool.drained() ? 0 : view.pool.workers();
    cores += CoresOf(view.pool);
    busy += view.measured.statistics.cores_busy();
    rss_bytes += view.measured.statistics.rss_bytes();
    total.requests_per_s += view.measured.rates.requests_per_s;
    total.errors_per_s += view.measured.rates.errors_per_s;
    total.cpu_percent += view.measured.rates.cpu_percent;
  }
  Row row = {{absl::StrCat(pools.size(), pools.size() == 1 ? " pool" : " pools", "  workers ", ready, "/", workers,
                           "  cores ", busy, "/", cores, "  ", HumanCount(total.requests_per_s), " req/s")}};
  row.push_back({absl::StrCat("  ", HumanCount(total.errors_per_s), " err/s"),
                 total.errors_per_s > 0 ? Style::kBad : Style::kPlain});
  row.push_back({absl::StrCat("  CPU ", HumanPercent(total.cpu_percent), "  RSS ", HumanBytes(rss_bytes))});
  return row;
}

// One of the tables: a heading, and a row for each thing, with its name.
struct TableView {
  Section section;
  std::string heading;
  std::vector<std::pair<std::string, Row>> rows;
};

// Where there is room, the words are whole and cores have a bar.
struct PoolWidths {
  explicit PoolWidths(int width)
      : wide(width >= 100),
        state(wide ? 12 : 8),
        cores(wide ? 20 : 9),
        name(std::clamp(width - state - cores - 53, 8, 32)) {}

  const bool wide;
  const int state, cores, name;
};

TableView PoolsView(const Model& model, int width) {
  const PoolWidths widths(width);
  auto after_state = [&widths](const std::string& workers, const std::string& cores, const std::string& queue,
                               const std::string& rate, const std::string& p50, const std::string& p99,
                               const std::string& errors, const std::string& cpu, const std::string& rss) {
    return absl::StrCat(Right(workers, 8), " ", Left(cores, widths.cores), Right(queue, 6), Right(rate, 6),
                        Right(p50, 6), Right(p99, 6), Right(errors, 6), Right(cpu, 5), Right(rss, 8));
  };
  TableView view{Section::kPools, "", {}};
  view.heading = absl::StrCat(Left("POOL", widths.name), " ", Left("STATE", widths.state),
                              after_state("WORKERS", "CORES", "QUEUE", "REQ/S", "P50", "P99", "ERR/S", "CPU", "RSS"));
  for (const Model::PoolView& each : model.Pools()) {
    const v1::PoolStatus& status = each.pool.status();
    const Rates& rates = each.measured.rates;
    const v1::Statistics& statistics = each.measured.statistics;
    const std::string busy = absl::StrCat(statistics.cores_busy(), "/", CoresOf(each.pool));
    const std::string cores =
        widths.wide ? absl::StrCat(Bar(statistics.cores_busy(), CoresOf(each.pool), 8), " ", busy) : busy;
    view.rows.push_back({each.pool.name(),
                         {{Left(ShortName(each.pool.name()), widths.name) + " "},
                          {Left(v1::PoolStatus::State_Name(status.state()), widths.state), StyleOf(status.state())},
                          {after_state(absl::StrCat(status.workers_ready(), "/", each.pool.workers()), cores,
                                       absl::StrCat(statistics.queue_depth()), HumanCount(rates.requests_per_s),
                                       DurationOrDash(rates.run_time_p50), DurationOrDash(rates.run_time_p99),
                                       HumanCount(rates.errors_per_s), HumanPercent(rates.cpu_percent),
                                       HumanBytes(statistics.rss_bytes()))}}});
  }
  return view;
}

TableView WorkersView(const Model& model) {
  TableView view{Section::kWorkers, "", {}};
  auto line = [](const std::string& name, const std::string& bar, const std::string& cores, const std::string& queue,
                 const std::string& rate, const std::string& p99, const std::string& cpu, const std::string& rss) {
    return absl::StrCat(Left(name, 18), " ", Left(bar, 12), " ", Right(cores, 11), Right(queue, 6), Right(rate, 7),
                        Right(p99, 8), Right(cpu, 6), Right(rss, 8));
  };
  view.heading = line("WORKER", "", "CORES", "QUEUE", "REQ/S", "P99", "CPU", "RSS");
  for (const Model::WorkerView& worker : model.Workers()) {
    const v1::Statistics& statistics = worker.measured.statistics;
    const Rates& rates = worker.measured.rates;
    view.rows.push_back(
        {worker.name,
         {{line(ShortName(worker.name), Bar(statistics.cores_busy(), worker.cores, 10),
                absl::StrCat(statistics.cores_busy(), "/", worker.cores), absl::StrCat(statistics.queue_depth()),
                HumanCount(rates.requests_per_s), DurationOrDash(rates.run_time_p99), HumanPercent(rates.cpu_percent),
                HumanBytes(statistics.rss_bytes()))}}});
  }
  return view;
}

std::string OrderName(RequestOrder order) {
  switch (order) {
    case RequestOrder::kAge:
      return "age";
    case RequestOrder::kCpu:
      return "CPU";
    case RequestOrder::kStack:
      return "stack";
    case RequestOrder::kName:
      return "name";
  }
  return "";
}

Style StyleOf(const v1::Request& request) {
  if (request.state() == v1::Request::RUNNING) return Style::kGood;
  if (request.state() == v1::Request::QUEUED) return Style::kWarning;
  return Style::kPlain;
}

TableView RequestsView(const Model& model, int width) {
  const int wait_width = std::clamp(width - 62, 18, 30);
  TableView view{Section::kRequests, "", {}};
  auto before = [](const std::string& name, const std::string& age) {
    return absl::StrCat(Left(name, 14), " ", Right(age, 6), " ");
  };
  auto after = [wait_width](const std::string& wait, const std::string& cpu, const std::string& stack,
                            const std::string& request) {
    return absl::StrCat(" ", Left(wait, wait_width), Right(cpu, 7), Right(stack, 7), " ", request);
  };
  view.heading = before("REQUEST", "AGE") + Left("STATE", 9) + after("CALL", "CPU", "STACK", "PATH");
  for (const v1::Request& request : model.Requests()) {
    view.rows.push_back({request.name(),
                         {{before(ShortName(request.name()), HumanDuration(control::FromProto(request.age())))},
                          {Left(v1::Request::State_Name(request.state()), 9), StyleOf(request)},
                          {after(WaitOf(request), HumanDuration(control::FromProto(request.cpu_time())),
                                 HumanBytes(request.stack_use_bytes()),
                                 Printable(absl::StrCat(request.method(), " ", request.target())))}}});
  }
  return view;
}

// The heading and as many rows as fit into `height`, those around the selected one.
void AppendTable(const Model& model, const TableView& view, int height, Screen* screen) {
  if (height <= 0) return;
  const bool focused = model.focus() == view.section;
  const int visible = std::min(height - 1, static_cast<int>(view.rows.size()));
  std::string heading = view.heading;
  if (visible < static_cast<int>(view.rows.size())) absl::StrAppend(&heading, "  ", visible, " of ", view.rows.size());
  screen->push_back({{heading, Style::kHeading}});
  const std::string selected = focused ? model.selected(view.section) : "";
  int at = 0;
  for (size_t i = 0; i < view.rows.size(); ++i) {
    if (view.rows[i].first == selected) at = static_cast<int>(i);
  }
  const int first = std::clamp(at - visible + 1, 0, std::max(static_cast<int>(view.rows.size()) - visible, 0));
  for (int i = first; i < first + visible; ++i) {
    const auto& [name, row] = view.rows[i];
    screen->push_back(!selected.empty() && name == selected ? Row{{TextOf(row), Style::kSelected}} : row);
  }
}

// How many rows each table gets of `height`: what it needs, where that fits; the first ones leave half of what there is
// to those below.
void AppendTables(const Model& model, int width, int height, Screen* screen) {
  std::vector<TableView> views;
  if (model.shows(Section::kPools)) views.push_back(PoolsView(model, width));
  if (model.shows(Section::kWorkers)) views.push_back(WorkersView(model));
  if (model.shows(Section::kRequests)) views.push_back(RequestsView(model, width));
  int left = height;
  for (size_t i = 0; i < views.size(); ++i) {
    int needed_below = 0;
    for (size_t j = i + 1; j < views.size(); ++j) needed_below += static_cast<int>(views[j].rows.size()) + 2;
    const int needed = static_cast<int>(views[i].rows.size()) + 1;
    const int share = std::max(left - needed_below, (left + 1) / 2);
    const int given = std::min(needed, i + 1 < views.size() ? share : left);
    AppendTable(model, views[i], given, screen);
    left -= given;
    if (i + 1 < views.size() && left > 0) {
      screen->push_back({});
      --left;
    }
  }
}

void AppendStack(const Model& model, int height, Screen* screen) {
  const Model::StackView& stack = model.stack();
  for (const v1::Request& request : model.Requests()) {
    if (request.name() == stack.request) screen->push_back({{RequestLine(request), Style::kBold}});
  }
  screen->push_back({{absl::StrCat("Stack of ", ShortName(stack.request)), Style::kHeading}});
  for (size_t i = stack.first_line; i < stack.lines.size() && static_cast<int>(screen->size()) < height; ++i) {
    screen->push_back({{stack.lines[i]}});
  }
}

void AppendHelp(Screen* screen) {
  for (const char* line : {
           "p  w  r     show or hide pools, workers, requests",
           "Tab         to the next table",
           "Up Down     select; Page Up, Page Down",
           "Enter       a request's stack; of a pool or worker: only that pool",
           "Esc         back, all pools",
           "s           order of the requests: age, CPU, stack, name",
           "t           stack of the selected request",
           "k           cancel the selected request; asks first",
           "Space       pause",
           "q           quit",
           "",
           "CORES: busy/all. QUEUE: requests that wait for a core. CPU: of one processor.",
           "P50 and P99: run time of the requests that ended since the last look.",
       }) {
    screen->push_back({{line}});
  }
}

Row LastRow(const Model& model) {
  if (!model.cancel_question().empty()) {
    return {{absl::StrCat("cancel ", ShortName(model.cancel_question()), "? y/n"), Style::kWarning}};
  }
  if (!model.message().empty()) return {{Printable(model.message()), Style::kBold}};
  if (model.help()) return {{"any key: back", Style::kDim}};
  if (!model.stack().request.empty()) return {{"Esc back  Up Down scroll  k cancel", Style::kDim}};
  std::string keys = absl::StrCat("q quit  ? help  p w r tables  arrows Enter select  s by ", OrderName(model.order()),
                                  "  t stack  k cancel");
  if (!model.pool_filter().empty()) keys = absl::StrCat("only ", ShortName(model.pool_filter()), " (Esc: all)  ", keys);
  return {{keys, Style::kDim}};
}

}  // namespace

Screen Render(const Model& model, int width, int height, absl::Time now) {
  width = std::max(width, 1);
  height = std::max(height, 1);
  constexpr int kRowsAround = 4;  // the first two, a blank one, and the last
  Screen screen;
  screen.push_back(ServerRow(model, now));
  screen.push_back(TotalRow(model));
  screen.push_back({});
  if (model.help()) {
    AppendHelp(&screen);
  } else if (!model.stack().request.empty()) {
    AppendStack(model, height - 1, &screen);
  } else {
    AppendTables(model, width, height - kRowsAround, &screen);
  }
  screen.resize(height);
  screen.back() = LastRow(model);
  for (Row& row : screen) row = Fit(std::move(row), width);
  return screen;
}

}  // namespace greenring::greenctl
