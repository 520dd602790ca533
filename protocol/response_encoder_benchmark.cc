// What a response head costs, from start_response's arguments to wire bytes.
//
//   bazel run //protocol:response_encoder_benchmark
#include <benchmark/benchmark.h>

#include "base/check.h"
#include "protocol/response_encoder.h"

namespace greenring::protocol {
namespace {

void BM_HelloWorldHead(benchmark::State& state) {
  ResponseEncoder encoder;
  DateCache dates;
  ResponseBody body;
  char out[512];
  const ResponseRequest request{.version = HttpVersion::kHttp11, .is_head = false, .keep_alive = true};
  for (auto _ : state) {
    GREENRING_CHECK(encoder.SetStatus("200 OK") == nullptr);
    GREENRING_CHECK(encoder.AddHeader("Content-Type", "text/plain") == nullptr);
    benchmark::DoNotOptimize(encoder.EncodeHead(request, 12, dates.Line(784111777), out, &body));
    benchmark::DoNotOptimize(out);
  }
}
BENCHMARK(BM_HelloWorldHead);

// What Django sends for a page.
void BM_TypicalPageHead(benchmark::State& state) {
  ResponseEncoder encoder;
  DateCache dates;
  ResponseBody body;
  char out[1024];
  const ResponseRequest request{.version = HttpVersion::kHttp11, .is_head = false, .keep_alive = true};
  constexpr HeaderField kHeaders[] = {
      {"Content-Type", "text/html; charset=utf-8"},
      {"X-Frame-Options", "DENY"},
      {"Content-Length", "10453"},
      {"Vary", "Cookie"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "same-origin"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Set-Cookie", "csrftoken=Jq3vT8mB1nXzL5pRJq3vT8mB1nXzL5pR; expires=Mon, 03 Nov 2025 10:00:00 GMT; Path=/"},
  };
  for (auto _ : state) {
    GREENRING_CHECK(encoder.SetStatus("200 OK") == nullptr);
    for (const HeaderField& field : kHeaders) GREENRING_CHECK(encoder.AddHeader(field.name, field.value) == nullptr);
    benchmark::DoNotOptimize(encoder.EncodeHead(request, -1, dates.Line(784111777), out, &body));
    benchmark::DoNotOptimize(out);
  }
}
BENCHMARK(BM_TypicalPageHead);

}  // namespace
}  // namespace greenring::protocol

BENCHMARK_MAIN();
