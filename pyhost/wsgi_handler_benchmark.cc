// What the Python side of a request costs: environ, the application's call, the pick-up of its response.
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "green/scheduler.h"
#include "protocol/http1_parser.h"
#include "pyhost/application.h"
#include "pyhost/gil.h"
#include "pyhost/interpreter.h"
#include "pyhost/python.h"
#include "pyhost/wsgi_handler.h"

namespace greenring::pyhost {
namespace {

constexpr const char kApplications[] = R"python(
def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, World!"]

BODY = [b"Hello, World!"]
def nothing(environ, start_response):
    return BODY

def generator(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    yield b"Hello, World!"
)python";

constexpr const char kWrkRequest[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

constexpr const char kBrowserRequest[] =
    "GET /articles/2024/07/green-threads?page=2 HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) "
    "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,"
    "application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\n"
    "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark\r\n\r\n";

// Takes responses and forgets them.
class NullExchange final : public Exchange {
 public:
  absl::StatusOr<size_t> ReadBody(char*, size_t) override { return 0; }
  absl::StatusOr<size_t> ReadBodyWithin(char*, size_t, int64_t) override { return 0; }
  int64_t chunk_left_bytes() const override { return 0; }
  int64_t content_length() const override { return -1; }
  absl::Status SendComplete(const protocol::ResponseEncoder&, std::string_view) override { return absl::OkStatus(); }
  absl::Status SendHead(const protocol::ResponseEncoder&, int64_t) override { return absl::OkStatus(); }
  absl::Status SendBody(std::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<int64_t> SendFile(int, int64_t, int64_t size) override { return size; }
  absl::Status Flush() override { return absl::OkStatus(); }
  absl::Status Finish() override { return absl::OkStatus(); }
  void Abort() override {}
  void Disconnect() override {}
  uint64_t number() const override { return 1; }
  int client_fd() const override { return -1; }
  void SetLogVariable(std::string_view, std::string_view) override {}
  std::optional<std::string> LogVariable(std::string_view) const override { return std::nullopt; }
  void SetInterrupter(Interrupter*) override {}
  int64_t started_ns() const override { return 0; }
  int64_t deadline_ns() const override { return INT64_MAX; }
  void SetTimeout(int64_t) override {}
  void SetCancelOnDisconnect(bool) override {}
  void BeginClose() override {}
  CutShort cut_short() const override { return CutShort::kNo; }
};

class StderrLog final : public ErrorLog {
 public:
  void Message(std::string_view message) override { ApplicationText(message); }
  void ApplicationText(std::string_view text) override { std::fwrite(text.data(), 1, text.size(), stderr); }
};

PyObject* Applications() {
  static PyObject* globals = [] {
    PyObject* made = PyDict_New();
    PyDict_SetItemString(made, "__builtins__", PyEval_GetBuiltins());
    Py_XDECREF(PyRun_String(kApplications, Py_file_input, made, made));
    return made;
  }();
  return globals;
}

// Runs `function` on a green thread that has its Python state.
template <typename Function>
void OnGreenThread(Function function) {
  PythonSwitchHook hook;
  green::Scheduler scheduler;
  scheduler.SetSwitchHook(&hook);
  ScopedGilRelease release;
  scheduler.Spawn([&function] {
    ScopedPythonThread python;
    function();
  });
  while (scheduler.stats().live > 0) scheduler.RunReady();
}

// Where 64 connections of one client come from.
std::vector<PeerAddress> Peers() {
  std::vector<PeerAddress> peers(64);
  for (size_t i = 0; i < peers.size(); ++i) {
    peers[i] = {
        .ip = {127, 0, 0, 1}, .port = static_cast<uint16_t>(40000 + 2 * i), .family = PeerAddress::Family::kIpv4};
  }
  return peers;
}

void Handle(benchmark::State& state, const char* application, const char* request) {
  StderrLog log;
  NullExchange exchange;
  protocol::RequestHead head;
  protocol::ParseRequestHead(request, protocol::Limits{}, &head);
  const std::vector<PeerAddress> peers = Peers();
  size_t next = 0;
  WsgiHandler handler({PyRef::Share(PyDict_GetItemString(Applications(), application)), application}, {}, &log);
  const EnvironTemplate* listener = handler.AddListener({.server_name = "127.0.0.1", .server_port = "8080"});
  OnGreenThread([&] {
    for (auto _ : state) handler.Handle({head, peers[next++ % 64], *listener}, &exchange);
  });
}

BENCHMARK_CAPTURE(Handle, hello_wrk, "hello", kWrkRequest);
BENCHMARK_CAPTURE(Handle, hello_browser, "hello", kBrowserRequest);
BENCHMARK_CAPTURE(Handle, generator_wrk, "generator", kWrkRequest);

// The application by itself: what no server can save.
void CallOnly(benchmark::State& state) {
  static PyMethodDef ignore = {"start_response",
                               reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(
                                   +[](PyObject*, PyObject* const*, Py_ssize_t) { return Py_NewRef(Py_None); })),
                               METH_FASTCALL, nullptr};
  const PyRef start_response(PyCFunction_New(&ignore, nullptr));
  const PyRef environ(PyDict_New());
  PyObject* application = PyDict_GetItemString(Applications(), "hello");
  for (auto _ : state) {
    PyObject* arguments[] = {nullptr, environ.get(), start_response.get()};
    Py_DECREF(PyObject_Vectorcall(application, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
  }
}
BENCHMARK(CallOnly);

void Environ(benchmark::State& state, const char* request) {
  protocol::RequestHead head;
  protocol::ParseRequestHead(request, protocol::Limits{}, &head);
  const std::vector<PeerAddress> peers = Peers();
  size_t next = 0;
  EnvironBuilder builder({}, Py_None, Py_None);
  const EnvironTemplate* listener = builder.AddListener({.server_name = "127.0.0.1", .server_port = "8080"});
  for (auto _ : state) benchmark::DoNotOptimize(builder.Build({head, peers[next++ % 64], *listener}, Py_None));
}
BENCHMARK_CAPTURE(Environ, wrk, kWrkRequest);
BENCHMARK_CAPTURE(Environ, browser, kBrowserRequest);

}  // namespace
}  // namespace greenring::pyhost

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const auto interpreter = greenring::pyhost::Interpreter::Start({});
  benchmark::RunSpecifiedBenchmarks();
}
