#include "pyhost/string_cache.h"

#include <cstring>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

using StringCacheTest = PythonTest;

TEST_F(StringCacheTest, GivesTheSameObjectForTheSameBytes) {
  StringCache<64> cache;
  const PyRef first = cache.Get("example.org");
  EXPECT_EQ(cache.Get(std::string("example.org")).get(), first.get());
  EXPECT_EQ(ToUtf8(first.get()), "example.org");
  EXPECT_EQ(ToUtf8(cache.Get("caf\xe9").get()), "caf\u00e9");
}

TEST_F(StringCacheTest, ValuesThatShareASlotStayRight) {
  StringCache<1> cache;
  for (const char* text : {"a", "b", "a", ""}) EXPECT_EQ(ToUtf8(cache.Get(text).get()), text);
}

TEST_F(StringCacheTest, LongValuesAreNotKept) {
  StringCache<64> cache;
  const std::string longest(StringCache<64>::kBytesMax, 'x');
  EXPECT_EQ(cache.Get(longest).get(), cache.Get(longest).get());
  const PyRef once = cache.Get(longest + "x");
  EXPECT_NE(cache.Get(longest + "x").get(), once.get());
  EXPECT_EQ(ToUtf8(once.get()), longest + "x");
}

// 64 values that differ in one place, in 1024 slots: a good hash shares few.
void ExpectSpread(const std::string& pattern, size_t at) {
  std::set<uint64_t> slots;
  for (uint16_t i = 0; i < 64; ++i) {
    std::string value = pattern;
    const uint16_t number = static_cast<uint16_t>(40000 + 2 * i);  // as the ports of a client's connections
    std::memcpy(value.data() + at, &number, sizeof number);
    slots.insert(SampleHash(value) % 1024);
  }
  EXPECT_GT(slots.size(), 50u) << pattern.size() << " bytes that differ at " << at;
}

TEST_F(StringCacheTest, SimilarValuesAreSpreadOverTheSlots) {
  for (size_t size = 2; size <= 18; ++size) {
    for (size_t at = 0; at + 2 <= size; ++at) ExpectSpread(std::string(size, 'x'), at);
  }
  for (const size_t size : {40, 100, 150}) {
    ExpectSpread(std::string(size, 'x'), 0);
    ExpectSpread(std::string(size, 'x'), size / 2);
    ExpectSpread(std::string(size, 'x'), size - 2);
  }
}

}  // namespace
}  // namespace greenring::pyhost
