// The corpus of the uwsgi protocol (testing/corpus/uwsgi): at once, and byte by byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "protocol/limits.h"
#include "protocol/parse_result.h"
#include "protocol/request_head.h"
#include "protocol/uwsgi_parser.h"

namespace greenring::protocol {
namespace {

using Kind = ParseResult::Kind;

// What comes of `bytes`, that arrive one by one.
ParseResult InPieces(const std::string& bytes) {
  RequestHead head;
  for (size_t size = 0; size < bytes.size(); ++size) {
    const ParseResult result = ParseUwsgiHead(std::string_view(bytes).substr(0, size), Limits{}, &head);
    if (result.kind != Kind::kIncomplete) return result;
  }
  return ParseUwsgiHead(bytes, Limits{}, &head);
}

// Parses all files of `folder`, and returns how many there are.
size_t ExpectVerdict(const std::string& folder, Kind kind) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("testing/corpus/uwsgi/" + folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    RequestHead head;
    const ParseResult result = ParseUwsgiHead(bytes, Limits{}, &head);
    EXPECT_EQ(result.kind, kind) << entry.path() << ": " << (result.reason != nullptr ? result.reason : "no reason");
    const ParseResult pieces = InPieces(bytes);
    EXPECT_EQ(pieces.kind, result.kind) << entry.path() << ", byte by byte";
    EXPECT_EQ(pieces.reason, result.reason) << entry.path() << ", byte by byte";
    ++count;
  }
  return count;
}

TEST(UwsgiCorpus, EveryValidPacketIsAccepted) { EXPECT_GE(ExpectVerdict("valid", Kind::kComplete), 17u); }

TEST(UwsgiCorpus, EveryMalformedPacketIsRefused) { EXPECT_GE(ExpectVerdict("malformed", Kind::kError), 40u); }

TEST(UwsgiCorpus, NoTruncatedPacketIsTakenForComplete) { EXPECT_GE(ExpectVerdict("truncated", Kind::kIncomplete), 6u); }

}  // namespace
}  // namespace greenring::protocol
