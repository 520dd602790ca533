// What `top` knows and what its user has chosen to see; keys and news change it, Render (render.h) shows it. Not
// thread-safe; never blocks.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "greenring/control/v1/pool_service.pb.h"
#include "greenring/control/v1/request_service.pb.h"
#include "greenring/control/v1/server_service.pb.h"
#include "greenring/control/v1/statistics.pb.h"
#include "tools/greenctl/statistics.h"

namespace greenring::greenctl {

namespace v1 = ::greenring::control::v1;

// Counters as they were last, and what has happened lately.
struct Measured {
  v1::Statistics statistics;
  Rates rates;
};

enum class Section { kPools, kWorkers, kRequests };
enum class RequestOrder { kAge, kCpu, kStack, kName };

class Model {
 public:
  // What a key asks of the server.
  struct Action {
    enum Kind { kNone, kQuit, kCancel, kShowStack };
    Kind kind = kNone;
    std::string request;  // its full name, for kCancel and kShowStack
  };

  explicit Model(std::string address) : address_(std::move(address)) {}

  // ---- news ----

  void OnServer(const v1::Server& server);
  void OnPools(const v1::ListPoolsResponse& pools);
  void OnStatistics(const v1::PoolStatistics& statistics);
  void OnRequests(const v1::ListRequestsResponse& requests);
  // The server does not answer: `problem` in words. What was known stays to be seen.
  void OnLost(const std::string& problem);
  // The answer to kShowStack, if that view is still open; and something to be said in the last line.
  void OnStack(const std::string& request, const std::string& text);
  void OnMessage(const std::string& message) { message_ = message; }

  Action OnKey(int key);

  // ---- what Render shows ----

  struct PoolView {
    v1::Pool pool;
    Measured measured;
  };
  struct WorkerView {
    std::string name;
    int cores;  // that it can have; those that have had no work yet do not exist
    Measured measured;
  };

  // By name; of the pool that the view is narrowed to, or of all.
  std::vector<PoolView> Pools() const;
  std::vector<WorkerView> Workers() const;
  std::vector<v1::Request> Requests() const;  // in the order that was chosen

  struct StackView {
    std::string request;
    std::vector<std::string> lines;
    size_t first_line = 0;
  };

  const std::string& address() const { return address_; }
  const v1::Server& server() const { return server_; }
  const std::string& problem() const { return problem_; }  // empty: connected
  const std::string& message() const { return message_; }
  const std::string& pool_filter() const { return pool_filter_; }          // full name; empty: all
  const std::string& cancel_question() const { return cancel_question_; }  // the request that is asked about
  const StackView& stack() const { return stack_; }                        // open while `request` is not empty
  bool shows(Section section) const { return shown_.at(section); }
  Section focus() const { return focus_; }
  // The full name of what is selected in the section; empty when it is empty.
  std::string selected(Section section) const;
  RequestOrder order() const { return order_; }
  bool paused() const { return paused_; }
  bool help() const { return help_; }

 private:
  Action OnAnswer(int key);
  void OnStackKey(int key);
  void Toggle(Section section);
  void MoveFocus();
  void Move(int by);
  Action Enter();
  std::vector<std::string> NamesOf(Section section) const;
  bool IsShown(const std::string& name) const;

  const std::string address_;
  v1::Server server_;
  std::map<std::string, v1::Pool> pools_;
  std::map<std::string, Measured> pool_statistics_;
  std::map<std::string, Meter> meters_;  // by pool
  std::map<std::string, Measured> worker_statistics_;
  std::vector<v1::Request> requests_;
  std::string problem_ = "connecting";
  std::string message_;

  std::map<Section, bool> shown_ = {{Section::kPools, true}, {Section::kWorkers, false}, {Section::kRequests, true}};
  Section focus_ = Section::kRequests;
  // By name: what is selected stays so when others come and go.
  mutable std::map<Section, std::string> selected_;
  std::string pool_filter_;
  RequestOrder order_ = RequestOrder::kAge;
  std::string cancel_question_;
  StackView stack_;
  bool paused_ = false;
  bool help_ = false;
};

}  // namespace greenring::greenctl
