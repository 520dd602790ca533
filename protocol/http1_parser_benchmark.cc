// What a request head costs: this parser against Boost.Beast's under the same policy. docs/PARSER.md has the numbers.
//
//   bazel run //protocol:http1_parser_benchmark
#include <benchmark/benchmark.h>

#include <boost/beast/http/basic_parser.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "protocol/http1_parser.h"

namespace greenring::protocol {
namespace {

constexpr std::string_view kWrk = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

constexpr std::string_view kBrowser =
    "GET /articles/2024/09/green-threads?page=2&sort=date HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://www.example.com/articles/2024/09/\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=eyJ1c2VyX2lkIjoxMjM0NX0.ZuQxYw.0pTnV7yq3hC2sQk4; csrftoken=Jq3vT8mB1nXzL5pR; theme=dark\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "\r\n";

void BM_Greenring(benchmark::State& state, std::string_view bytes) {
  const Limits limits;
  RequestHead head;
  for (auto _ : state) {
    benchmark::DoNotOptimize(bytes);
    const ParseResult result = ParseRequestHead(bytes, limits, &head);
    GREENRING_CHECK(result.head_bytes == bytes.size());
    benchmark::DoNotOptimize(head);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}
BENCHMARK_CAPTURE(BM_Greenring, wrk, kWrk);
BENCHMARK_CAPTURE(BM_Greenring, browser, kBrowser);

// A head whose last byte is still missing, byte-at-a-time cost included: each iteration feeds all of it in single
// bytes.
void BM_HeadScannerByteAtATime(benchmark::State& state) {
  const Limits limits;
  for (auto _ : state) {
    HeadScanner scanner;
    for (size_t size = 1; size <= kBrowser.size(); ++size) {
      benchmark::DoNotOptimize(scanner.Scan(kBrowser.substr(0, size), limits));
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kBrowser.size()));
}
BENCHMARK(BM_HeadScannerByteAtATime);

// Beast's grammar with views into the input, and on top of it what Beast leaves to its caller. Targets and hosts are
// not even checked: the library alone is what is measured.
class BeastParser : public boost::beast::http::basic_parser<true> {
 public:
  std::string_view method, target;
  std::vector<HeaderField> headers;
  bool has_host = false;

 private:
  using string_view = boost::beast::string_view;
  using error_code = boost::beast::error_code;
  using field = boost::beast::http::field;
  static std::string_view View(string_view text) { return std::string_view(text.data(), text.size()); }

  void on_request_impl(boost::beast::http::verb, string_view method_text, string_view target_text, int,
                       error_code&) override {
    method = View(method_text);
    target = View(target_text);
  }
  void on_field_impl(field id, string_view name, string_view value, error_code& error) override {
    if (id == field::host && std::exchange(has_host, true)) error = boost::beast::http::error::bad_field;
    headers.push_back({View(name), View(value)});
  }
  void on_header_impl(error_code& error) override {
    if (!has_host) error = boost::beast::http::error::bad_field;
  }
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override { return body.size(); }
  void on_finish_impl(error_code&) override {}
};

void BM_Beast(benchmark::State& state, std::string_view bytes) {
  std::vector<HeaderField> headers;
  for (auto _ : state) {
    benchmark::DoNotOptimize(bytes);
    BeastParser parser;
    headers.clear();
    parser.headers = std::move(headers);
    boost::beast::error_code error;
    parser.header_limit(64 * 1024);
    parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    GREENRING_CHECK(!error && parser.is_header_done());
    benchmark::DoNotOptimize(parser);
    headers = std::move(parser.headers);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}
BENCHMARK_CAPTURE(BM_Beast, wrk, kWrk);
BENCHMARK_CAPTURE(BM_Beast, browser, kBrowser);

}  // namespace
}  // namespace greenring::protocol

BENCHMARK_MAIN();
