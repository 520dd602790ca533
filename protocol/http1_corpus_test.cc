// The conformance corpus: each file is what one client sends on one connection, byte for byte. All of it is replayed at
// once, and byte by byte.
//   valid/      every request is accepted, and the last one ends with the file
//   malformed/  something in it is refused
//   truncated/  right as far as it goes: never refused, never taken for complete
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "protocol/body_decoder.h"
#include "protocol/http1_parser.h"

namespace greenring::protocol {
namespace {

constexpr char kCorpusDir[] = "testing/corpus/http1";

enum class Verdict { kAccepted, kRefused, kUnfinished };

std::ostream& operator<<(std::ostream& out, Verdict verdict) {
  constexpr const char* kNames[] = {"accepted", "refused", "unfinished"};
  return out << kNames[static_cast<int>(verdict)];
}

struct Outcome {
  Verdict verdict;
  std::string reason;

  bool operator==(const Outcome&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
    return out << outcome.verdict << " (" << outcome.reason << ")";
  }
};

// A connection that hands over `piece_bytes` at a time.
Outcome Replay(std::string_view bytes, size_t piece_bytes) {
  const Limits limits;
  RequestHead head;
  HeadScanner scanner;
  BodyDecoder body;
  bool in_head = true;
  std::string buffer;
  for (;;) {
    if (in_head && !buffer.empty()) {
      ParseResult result = scanner.Scan(buffer, limits);
      if (result.kind != ParseResult::Kind::kIncomplete) result = ParseRequestHead(buffer, limits, &head);
      if (result.kind == ParseResult::Kind::kError) return {Verdict::kRefused, result.reason};
      if (result.kind == ParseResult::Kind::kComplete) {
        buffer.erase(0, result.head_bytes);
        scanner.Reset();
        body.Reset(head.framing, head.content_length, limits);
        in_head = body.done();
        continue;
      }
    } else if (!in_head && !buffer.empty()) {
      const BodyDecoder::Step step = body.Decode(buffer);
      if (step.state == BodyDecoder::State::kError) return {Verdict::kRefused, step.reason};
      buffer.erase(0, step.consumed);
      in_head = body.done();
      continue;
    }
    if (bytes.empty()) break;
    buffer += bytes.substr(0, piece_bytes);
    bytes.remove_prefix(std::min(piece_bytes, bytes.size()));
  }
  return {in_head && buffer.empty() ? Verdict::kAccepted : Verdict::kUnfinished, ""};
}

std::vector<std::filesystem::path> CorpusFiles(const std::string& kind) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(kCorpusDir) + "/" + kind)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

// Replays all files of `kind`, and returns how many there are.
size_t ExpectVerdict(const std::string& kind, Verdict verdict) {
  const std::vector<std::filesystem::path> files = CorpusFiles(kind);
  for (const std::filesystem::path& path : files) {
    const std::string bytes = ReadFile(path);
    const Outcome at_once = Replay(bytes, bytes.size());
    EXPECT_EQ(at_once.verdict, verdict) << path << ": " << at_once;
    EXPECT_EQ(Replay(bytes, 1), at_once) << path << ", byte by byte";
  }
  return files.size();
}

TEST(Http1Corpus, EveryValidFileIsAccepted) { EXPECT_GE(ExpectVerdict("valid", Verdict::kAccepted), 40u); }

TEST(Http1Corpus, EveryMalformedFileIsRefused) { EXPECT_GE(ExpectVerdict("malformed", Verdict::kRefused), 80u); }

TEST(Http1Corpus, NoTruncatedFileIsTakenForComplete) {
  EXPECT_GE(ExpectVerdict("truncated", Verdict::kUnfinished), 5u);
}

}  // namespace
}  // namespace greenring::protocol
