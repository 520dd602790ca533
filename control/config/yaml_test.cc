// ParseYaml and ToYaml.
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/config_file.h"
#include "control/config/quantities.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/message_differencer.h"
#include "greenring/control/v1/config.pb.h"
#include "greenring/control/v1/pool_service.pb.h"
#include "greenring/control/v1/server_service.pb.h"
#include "greenring/control/v1/statistics.pb.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

template <typename T>
std::string Read(const std::string& text) {
  T message;
  const absl::Status status = ParseYaml(text, "f.yaml", &message);
  return status.ok() ? message.ShortDebugString() : std::string(status.message());
}

std::string ReadPool(const std::string& text) { return Read<v1::Pool>(text); }

TEST(YamlReaderTest, AConfigurationIsMappingsListsAndValues) {
  EXPECT_EQ(
      Read<v1::Configuration>("pools:\n"
                              "  - name: web\n"
                              "    application: {target: shop.wsgi:app, environment: {DEBUG: 1, EMPTY: ''}}\n"
                              "    listeners:\n"
                              "    - address: 127.0.0.1:8080\n"
                              "      unix_mode: 0660\n"
                              "metrics: {address: ':9'}\n"),
      "pools { name: \"web\" application { target: \"shop.wsgi:app\" environment { key: \"DEBUG\" value: \"1\" } "
      "environment { key: \"EMPTY\" value: \"\" } } listeners { address: \"127.0.0.1:8080\" unix_mode: \"0660\" } } "
      "metrics { address: \":9\" }");
}

TEST(YamlReaderTest, NothingIsNothing) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n", "timeouts:\n", "listeners: ~\n", "\xef\xbb\xbf"}) {
    EXPECT_EQ(ReadPool(text).substr(0, 8), text == std::string("timeouts:\n") ? "timeouts" : "") << text;
  }
}

TEST(YamlReaderTest, DurationsSizesAndEnumsAreWrittenAsPeopleDo) {
  EXPECT_EQ(ReadPool("time_slice: 500ms\ntimeouts: {drain: 2m, io: 1.5}"),
            "time_slice { nanos: 500000000 } timeouts { io { seconds: 1 nanos: 500000000 } drain { seconds: 120 } }");
  EXPECT_EQ(ReadPool("stack_size_bytes: 256KiB\nrecycling: {rss_bytes_max: 1g}\nlimits: {request_line_bytes: 8k}"),
            "stack_size_bytes: 262144 limits { request_line_bytes: 8192 } recycling { rss_bytes_max: 1073741824 }");
  EXPECT_EQ(ReadPool("engine: fcontext\npython_threads: Green\ncpu_affinity: {policy: SPREAD}"),
            "engine: FCONTEXT python_threads: GREEN cpu_affinity { policy: SPREAD }");
  EXPECT_EQ(ReadPool("timeouts: {request_by_path: {/export: 5m}}"),
            "timeouts { request_by_path { key: \"/export\" value { seconds: 300 } } }");
  EXPECT_EQ(ReadPool("create_time: '2026-01-31T12:00:00.5Z'"), "create_time { seconds: 1769860800 nanos: 500000000 }");
  EXPECT_EQ(Read<v1::Canary>("error_rate_rise_percent: .5"), "error_rate_rise_percent: 0.5");
}

TEST(YamlReaderTest, OnlyTheBoolsOfYaml12AreBools) {
  EXPECT_EQ(ReadPool("cancel_on_disconnect: True"), "cancel_on_disconnect: true");
  EXPECT_EQ(ReadPool("cancel_on_disconnect: yes"),
            "f.yaml:1:23: cancel_on_disconnect: must be true or false, not \"yes\"");
  EXPECT_EQ(ReadPool("user: yes"), "user: \"yes\"");
}

TEST(YamlReaderTest, WhatIsWrongIsSaidWithLineColumnAndFieldAllAtOnce) {
  EXPECT_EQ(Read<v1::Configuration>("pools:\n"
                                    "  - name: web\n"
                                    "    async_core: 5\n"
                                    "    timeouts:\n"
                                    "      drain: soon\n"
                                    "    workers: many\n"
                                    "    engine: turbo\n"
                                    "    stack_size_bytes: big\n"
                                    "    application: shop:app\n"
                                    "    listeners: ':80'\n"
                                    "    user: [a]\n"
                                    "    group:\n"
                                    "pidfile: x\n"),
            "f.yaml:3:5: pools[0].async_core: there is no such field (did you mean async_cores?)\n"
            "f.yaml:5:14: pools[0].timeouts.drain: must be a duration from 0 to a year, as in 30s, 500ms or 2m, not "
            "\"soon\"\n"
            "f.yaml:6:14: pools[0].workers: must be a whole number from -2147483648 to 2147483647, not \"many\"\n"
            "f.yaml:7:13: pools[0].engine: must be one of UCONTEXT, FCONTEXT, THREAD, GREENLET, GEVENT, not \"turbo\"\n"
            "f.yaml:8:23: pools[0].stack_size_bytes: must be a size, as in 65536 or 64KiB, not \"big\"\n"
            "f.yaml:9:18: pools[0].application: must be a mapping of fields to values, not a single value\n"
            "f.yaml:10:16: pools[0].listeners: must be a list, as in [a, b], not a single value\n"
            "f.yaml:11:11: pools[0].user: must be a single value, not a list\n"
            "f.yaml:12:5: pools[0].group: has no value: give it one, or leave the field out\n"
            "f.yaml:13:1: pidfile: there is no such field (did you mean pid_file?)");
}

TEST(YamlReaderTest, ALongListOfErrorsIsCut) {
  std::string text;
  for (int i = 0; i < 60; ++i) absl::StrAppend(&text, "x", i, "yzyzyzy: 1\n");
  EXPECT_NE(ReadPool(text).find("\nf.yaml: and 10 more"), std::string::npos);
}

TEST(YamlReaderTest, NumbersAreWholeAndInRange) {
  for (const char* text : {"2147483648", "1.0", "0x10", "1_000", "' 1'", "''"}) {
    EXPECT_NE(ReadPool(absl::StrCat("workers: ", text)).find("must be a whole number"), std::string::npos) << text;
  }
  EXPECT_EQ(ReadPool("limits: {request_line_bytes: 3g}"),
            "f.yaml:1:30: limits.request_line_bytes: must be a size of at most 2147483647 bytes, not \"3g\"");
  EXPECT_EQ(ReadPool("workers: -1"), "workers: -1");
}

TEST(YamlReaderTest, OneOfSeveralIsOne) {
  EXPECT_EQ(Read<v1::WatchResponse>("events_lost: 3\nstatistics: {pool: a}"),
            "f.yaml:2:1: statistics: is there beside another of what: one is possible");
}

TEST(YamlReaderTest, KeysAreThereOnceAndAreWords) {
  EXPECT_EQ(ReadPool("workers: 1\nuser: a\nworkers: 2"), "f.yaml:3:1: the key \"workers\" is there twice");
  EXPECT_EQ(ReadPool("application: {environment: {A: 1, A: 2}}"), "f.yaml:1:35: the key \"A\" is there twice");
  EXPECT_EQ(ReadPool("[a]: 1").substr(0, 7), "f.yaml:");
}

TEST(YamlReaderTest, AnchorsAndMergeKeysSpareRepetition) {
  EXPECT_EQ(Read<v1::Configuration>("pools:\n"
                                    "  - &base {name: a, workers: 2, timeouts: &t {io: 1}}\n"
                                    "  - {<<: *base, name: b}\n"
                                    "  - {name: c, timeouts: *t}\n"
                                    "  - {<<: [{workers: 3}, *base], name: d, timeouts: {}}\n"),
            "pools { name: \"a\" workers: 2 timeouts { io { seconds: 1 } } } "
            "pools { name: \"b\" workers: 2 timeouts { io { seconds: 1 } } } "
            "pools { name: \"c\" timeouts { io { seconds: 1 } } } "
            "pools { name: \"d\" workers: 3 timeouts { } }");
  EXPECT_EQ(ReadPool("<<: 3"), "f.yaml:1:5: << takes mappings, not a single value");
  EXPECT_EQ(ReadPool("timeouts: &a {io: *a}"), "f.yaml:1:19: an alias must not be within what it names");
}

TEST(YamlReaderTest, SyntaxErrorsAreInTheWordsOfTheParserWithThePosition) {
  EXPECT_EQ(ReadPool("workers: 1\n\tuser: a\n").substr(0, 9), "f.yaml:2:");
  for (const char* quote : {"'", "\""}) {
    EXPECT_EQ(ReadPool(absl::StrCat("user: ", quote, "a\ngroup: b\n")), "f.yaml:3:1: the file ends within quotes");
  }
  EXPECT_EQ(ReadPool("user: a\n...\n"), "user: \"a\"");
  EXPECT_EQ(ReadPool("user: |\n  a"), "user: \"a\\n\"");
  EXPECT_EQ(ReadPool("a: b: c\n").substr(0, 9), "f.yaml:1:");
  EXPECT_EQ(ReadPool("user: *nobody\n"), "f.yaml:1:7: the referenced anchor is not defined");
  EXPECT_EQ(ReadPool("user: !secret x\n"), "f.yaml:1:7: the tag \"!secret\" means nothing here: leave it out");
  EXPECT_EQ(ReadPool("user: a\n---\nuser: b\n"), "f.yaml: holds more than one document (---): one is possible");
  EXPECT_EQ(ReadPool("just words"), "f.yaml:1:1: must be a mapping of fields to values, not a single value");
}

TEST(YamlReaderTest, BytesThatAreNoTextAreRefusedWhereTheyAre) {
  EXPECT_EQ(ReadPool("user: a\ngroup: \xff\n"), "f.yaml:2:8: is not UTF-8 from here on");
  EXPECT_EQ(ReadPool("user: \xed\xa0\x80\n"), "f.yaml:1:7: is not UTF-8 from here on");
  EXPECT_EQ(ReadPool("user: a\n\x04\nworkers: bad"), "f.yaml:2:1: has a control character");
  EXPECT_EQ(ReadPool(std::string("user: \0", 7)), "f.yaml:1:7: has a control character");
  EXPECT_EQ(ReadPool("user: \xc3\xa9"), "user: \"\\303\\251\"");
}

TEST(YamlReaderTest, ABombOfAliasesIsDefused) {
  std::string text = "a0: &a0 {x: 1, y: 1}\n";
  for (int i = 1; i < 30; ++i) {
    absl::StrAppend(&text, "a", i, ": &a", i, " {x: *a", i - 1, ", y: *a", i - 1, "}\n");
  }
  absl::StrAppend(&text, "pools:\n");
  // What is expanded counts, whether by lists, mappings or merges.
  std::string lists = "pools: [&a {workers: 1}";
  for (int i = 0; i < 60'000; ++i) absl::StrAppend(&lists, ", *a");
  EXPECT_NE(Read<v1::Configuration>(lists + "]").find("aliases written out"), std::string::npos);
  EXPECT_NE(Read<v1::Configuration>(text).find("there is no such field"), std::string::npos);
  std::string merges = "pools:\n- &a0 {workers: 1}\n";
  for (int i = 1; i < 31; ++i) {
    absl::StrAppend(&merges, "- &a", i, " {<<: [*a", i - 1, ", *a", i - 1, "]}\n");
  }
  EXPECT_NE(Read<v1::Configuration>(merges).find("aliases written out"), std::string::npos);
}

TEST(YamlReaderTest, DepthAndSizeAreBounded) {
  EXPECT_NE(ReadPool(std::string(100'000, '[')).find("nested more than 32 deep"), std::string::npos);
  EXPECT_EQ(ReadPool(std::string((4 << 20) + 1, '#')), "f.yaml: is larger than 4 MiB");
  std::string many = "listeners: [";
  for (int i = 0; i < 100'001; ++i) many += "a,";
  EXPECT_NE(ReadPool(many + "]").find("more than 100000 values"), std::string::npos);
}

TEST(YamlWriterTest, TextIsQuotedWhereAnyReaderMightTakeItForSomethingElse) {
  v1::Pool pool;
  pool.set_name("pools/web");
  pool.set_workers(2);
  pool.set_stack_size_bytes(262144);
  pool.set_engine(v1::FCONTEXT);
  *pool.mutable_time_slice() = ToProto(absl::Milliseconds(1500));
  pool.mutable_timeouts();
  pool.add_listeners()->set_address("127.0.0.1:80");
  auto& environment = *pool.mutable_application()->mutable_environment();
  environment["A"] = "no";
  environment["B"] = "1e3";
  environment["C"] = "a: b # c";
  environment["D"] = "";
  environment["E"] = "shop:app";
  environment["F"] = "a\nb";
  EXPECT_EQ(ToYaml(pool),
            "name: pools/web\n"
            "application:\n"
            "  environment:\n"
            "    A: \"no\"\n"
            "    B: \"1e3\"\n"
            "    C: \"a: b # c\"\n"
            "    D: \"\"\n"
            "    E: shop:app\n"
            "    F: \"a\\nb\"\n"
            "listeners:\n"
            "  - address: \"127.0.0.1:80\"\n"
            "workers: 2\n"
            "engine: FCONTEXT\n"
            "stack_size_bytes: 256KiB\n"
            "time_slice: 1.5s\n"
            "timeouts: {}\n");
}

TEST(YamlWriterTest, MapsAreInTheOrderOfTheirKeys) {
  v1::Statistics statistics;
  for (const int status : {500, 99, 200}) (*statistics.mutable_responses_by_status())[status] = status;
  EXPECT_EQ(ToYaml(statistics), "responses_by_status:\n  99: 99\n  200: 200\n  500: 500\n");
}

// ---- whatever a message holds, it is read back as the same ----

class RandomMessages {
 public:
  explicit RandomMessages(uint32_t seed) : random_(seed) {}

  void Fill(Message* message, int depth) {
    if (auto* duration = dynamic_cast<google::protobuf::Duration*>(message)) {
      duration->set_seconds(Number(0, 31'535'999));
      duration->set_nanos(static_cast<int32_t>(Number(0, 1) * Number(0, 999'999'999)));
      return;
    }
    if (auto* time = dynamic_cast<google::protobuf::Timestamp*>(message)) {
      time->set_seconds(Number(0, 4'000'000'000));
      time->set_nanos(static_cast<int32_t>(Number(0, 1) * Number(0, 999'999'999)));
      return;
    }
    for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor* field = message->GetDescriptor()->field(i);
      if (Number(0, 2) == 0 || depth > 5) continue;
      for (int64_t n = field->is_repeated() ? Number(0, 3) : 1; n > 0; --n) FillField(message, field, depth);
    }
  }

 private:
  int64_t Number(int64_t min, int64_t max) { return std::uniform_int_distribution<int64_t>(min, max)(random_); }

  std::string Text() {
    static const std::vector<std::string> pieces = {
        "a",   "Z",      "/",          ":",      ": ",     "#",  " #", "'",  "\"",   "\\",  "\n",   "\t",
        "- ",  "{",      "[",          ",",      "&a",     "*a", "!",  "%",  "@",    "`",   "|",    ">",
        "yes", "null",   "~",          "1",      ".",      "-",  "?",  "\r", "\x7f", "\1",  "\x1b", "0x1",
        "é",   "\u2028", "\U0001F600", "\u0085", "\ufeff", " ",  "=",  "<<", "on",   "1.5", "1:2"};
    std::string text;
    for (int64_t n = Number(0, 4); n > 0; --n)
      text += pieces[static_cast<size_t>(Number(0, static_cast<int64_t>(pieces.size()) - 1))];
    return text;
  }

  void FillField(Message* message, const FieldDescriptor* field, int depth) {
    const Reflection* reflection = message->GetReflection();
    const auto store = [&](auto set, auto add, auto value) {
      (reflection->*(field->is_repeated() ? add : set))(message, field, value);
    };
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return store(&Reflection::SetInt32, &Reflection::AddInt32, static_cast<int32_t>(Number(INT32_MIN, INT32_MAX)));
      case FieldDescriptor::CPPTYPE_INT64:
        return store(&Reflection::SetInt64, &Reflection::AddInt64,
                     Number(-1, 1) * Number(0, INT64_MAX) / Number(1, 99));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return store(&Reflection::SetDouble, &Reflection::AddDouble, static_cast<double>(Number(-999, 999)) / 7);
      case FieldDescriptor::CPPTYPE_BOOL:
        return store(&Reflection::SetBool, &Reflection::AddBool, Number(0, 1) == 1);
      case FieldDescriptor::CPPTYPE_ENUM:
        return store(&Reflection::SetEnum, &Reflection::AddEnum,
                     field->enum_type()->value(static_cast<int>(Number(0, field->enum_type()->value_count() - 1))));
      case FieldDescriptor::CPPTYPE_STRING:
        return store(&Reflection::SetString, &Reflection::AddString, Text());
      case FieldDescriptor::CPPTYPE_MESSAGE:
        if (field->is_repeated()) return Fill(reflection->AddMessage(message, field), depth + 1);
        return Fill(reflection->MutableMessage(message, field), depth + 1);
      default:
        FAIL() << field->full_name() << " has a type that no message had when this was written";
    }
  }

  std::mt19937 random_;
};

// Equal keys of a map collapse when they are read: build what is compared from what a map can hold.
template <typename T>
T Normalised(const T& message) {
  T copy;
  copy.ParseFromString(message.SerializeAsString());
  return copy;
}

template <typename T>
void ExpectRoundTrips(uint32_t seed) {
  T message;
  RandomMessages(seed).Fill(&message, 0);
  const T written = Normalised(message);
  const std::string text = ToYaml(written);
  T read;
  const absl::Status status = ParseYaml(text, "f.yaml", &read);
  ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << std::string(status.message()) << "\n" << text;
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(written, read)) << "seed " << seed << "\n" << text;
  EXPECT_EQ(ToYaml(read), text) << "seed " << seed;
}

TEST(YamlPropertyTest, WhateverIsWrittenIsReadBackAsTheSame) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    ExpectRoundTrips<v1::Configuration>(seed);
    ExpectRoundTrips<v1::WatchResponse>(seed);
    ExpectRoundTrips<v1::UpdatePoolRequest>(seed);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace greenring::control
