#include "control/event_printer.h"

#include "gtest/gtest.h"

namespace greenring::control {
namespace {

std::string Printed(v1::Event::Kind kind, const std::string& resource, const std::string& message,
                    const std::string& caller = "", ServerLog::Format format = ServerLog::Format::kText) {
  std::string printed;
  const ServerLog log([&](const std::string& line) { printed += line + "\n"; }, format);
  EventPrinter printer(&log);
  v1::Event event;
  event.set_kind(kind);
  event.set_resource(resource);
  event.set_message(message);
  event.set_caller(caller);
  printer.OnEvent(event);
  return printed;
}

TEST(EventPrinterTest, AnEventIsALine) {
  EXPECT_EQ(Printed(v1::Event::WORKER_DIED, "pools/web/workers/3", "signal 9 (Killed)"),
            "greenring: pools/web/workers/3: died: signal 9 (Killed)\n");
  EXPECT_EQ(Printed(v1::Event::OPERATION_STARTED, "operations/1", "reload pools/web", "SIGHUP"),
            "greenring: operations/1: started: reload pools/web (SIGHUP)\n");
  EXPECT_EQ(Printed(v1::Event::SERVER_DRAINING, "", "the server stops"), "greenring: the server stops\n");
}

TEST(EventPrinterTest, TracebacksAreNotRepeated) {
  EXPECT_EQ(
      Printed(v1::Event::OPERATION_FAILED, "operations/1",
              "reload pools/web: the old workers stay: Traceback (most recent call last):\n  File 1\nE\ncannot load"),
      "greenring: operations/1: failed: reload pools/web: the old workers stay: cannot load\n");
}

TEST(EventPrinterTest, AsJsonAnEventHasItsParts) {
  const std::string line =
      Printed(v1::Event::OPERATION_STARTED, "operations/1", "reload pools/web", "SIGHUP", ServerLog::Format::kJson);
  EXPECT_NE(line.find(R"("event":"operation_started","resource":"operations/1","caller":"SIGHUP",)"
                      R"("message":"reload pools/web"})"),
            std::string::npos)
      << line;
}

}  // namespace
}  // namespace greenring::control
