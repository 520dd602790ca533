// Merge, KindOfChange and EtagOf: how one configuration of a pool becomes another.
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "control/config/nearest.h"
#include "control/config/pool_config.h"
#include "control/config/pool_fields.h"
#include "control/config/violation_list.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/util/field_mask_util.h"

namespace greenring::control {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FieldMask;
using google::protobuf::Message;
using google::protobuf::util::FieldMaskUtil;

bool CanChange(PoolFieldKind kind) {
  return kind == PoolFieldKind::kCores || kind == PoolFieldKind::kLive || kind == PoolFieldKind::kStart;
}

bool IsOutputOnly(PoolFieldKind kind) { return kind == PoolFieldKind::kOutputOnly; }

// The fields that are set in `message`: as deep as there are messages, but for durations, maps and lists.
void AddSetFields(const Message& message, const std::string& prefix, FieldMask* mask) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = prefix + field->name();
    const bool is_group = field->message_type() != nullptr && !field->is_repeated() &&
                          field->message_type() != google::protobuf::Duration::descriptor();
    if (is_group) {
      AddSetFields(message.GetReflection()->GetMessage(message, field), path + ".", mask);
    } else {
      mask->add_paths(path);
    }
  }
}

// The fields of the message in which `path` cannot be found any further, with their paths.
std::vector<std::string> NamesNear(const std::string& path) {
  const Descriptor* type = v1::Pool::descriptor();
  std::string prefix;
  for (size_t begin = 0;;) {
    const size_t dot = path.find('.', begin);
    const FieldDescriptor* field =
        dot == std::string::npos ? nullptr : type->FindFieldByName(path.substr(begin, dot - begin));
    if (field == nullptr || field->message_type() == nullptr || field->is_repeated()) break;
    type = field->message_type();
    begin = dot + 1;
    prefix = path.substr(0, begin);
  }
  std::vector<std::string> names;
  for (int i = 0; i < type->field_count(); ++i) names.push_back(prefix + type->field(i)->name());
  return names;
}

std::string WhyItCannotChange(const std::string& path, PoolFieldKind kind) {
  if (kind == PoolFieldKind::kName) return absl::StrCat(path, " never changes: create another pool");
  if (kind == PoolFieldKind::kDrained) return absl::StrCat(path, " is changed by DrainPool and ResumePool");
  return absl::StrCat(path, " is output only");
}

// What of `changes` is meant.
absl::StatusOr<FieldMask> Resolved(const v1::Pool& changes, const FieldMask& mask) {
  FieldMask resolved;
  if (mask.paths().empty()) {
    AddSetFields(Without(changes, [](PoolFieldKind kind) { return !CanChange(kind); }), "", &resolved);
    return resolved;
  }
  ViolationList wrong;
  for (const std::string& path : mask.paths()) {
    if (path == "*") {
      for (const PoolField& field : PoolFields()) {
        if (CanChange(field.kind)) resolved.add_paths(field.path);
      }
    } else if (!FieldMaskUtil::IsValidPath<v1::Pool>(path)) {
      wrong.Add("update_mask", absl::StrCat("a pool has no field ", Quoted(path), DidYouMean(path, NamesNear(path))));
    } else if (const PoolFieldKind kind = KindOfField(path); !CanChange(kind)) {
      wrong.Add("update_mask", WhyItCannotChange(path, kind));
    } else {
      resolved.add_paths(path);
    }
  }
  if (absl::Status status = ToStatus(wrong.Take()); !status.ok()) return status;
  return resolved;
}

bool Names(const FieldMask& mask, const std::string& path) {
  for (const std::string& other : mask.paths()) {
    if (other == path) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<v1::Pool> Merge(const v1::Pool& old, const v1::Pool& changes, const FieldMask& mask) {
  absl::StatusOr<FieldMask> resolved = Resolved(changes, mask);
  if (!resolved.ok()) return resolved.status();
  v1::Pool merged = old;
  FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  FieldMaskUtil::MergeMessageTo(changes, *resolved, options, &merged);
  // Two fields for one size: the one that is named says it.
  const bool names_bytes = Names(*resolved, "stack_size_bytes");
  const bool names_pages = Names(*resolved, "stack_pages");
  if (names_pages && !names_bytes && merged.stack_pages() != 0) merged.clear_stack_size_bytes();
  if (names_bytes && !names_pages) merged.clear_stack_pages();
  return merged;
}

ChangeKind KindOfChange(const v1::Pool& from, const v1::Pool& to) {
  const auto same = [&from, &to](auto is_cleared) {
    return DeterministicBytes(Without(from, is_cleared)) == DeterministicBytes(Without(to, is_cleared));
  };
  if (same([](PoolFieldKind kind) { return !CanChange(kind); })) return ChangeKind::kNone;
  return same([](PoolFieldKind kind) { return kind != PoolFieldKind::kStart; }) ? ChangeKind::kLive
                                                                                : ChangeKind::kStart;
}

bool IsCoresOnly(const v1::Pool& from, const v1::Pool& to) {
  if (KindOfChange(from, to) != ChangeKind::kLive) return false;
  const auto is_cleared = [](PoolFieldKind kind) { return kind == PoolFieldKind::kCores || !CanChange(kind); };
  return DeterministicBytes(Without(from, is_cleared)) == DeterministicBytes(Without(to, is_cleared));
}

std::string EtagOf(const v1::Pool& pool) {
  v1::Pool configuration = Without(pool, IsOutputOnly);
  configuration.DiscardUnknownFields();
  // FNV-1a: it tells changes apart, and nobody gains anything by making two that collide.
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char byte : DeterministicBytes(configuration)) hash = (hash ^ byte) * 0x100000001b3;
  return absl::StrFormat("%016x", hash);
}

}  // namespace greenring::control
