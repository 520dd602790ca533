// The shape of resource names: "pools/web", "pools/web/workers/3", "pools/web/workers/3/requests/17", "operations/5".
// Whether there is such a thing, the server knows. Thread-safe; never blocks.
//
//   IdsOfName("pools/web/workers/3", kWorkerPattern)    {"web", "3"}
//   NameOfIds({"web", "3"}, kWorkerPattern)             "pools/web/workers/3"
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace greenring::control {

// As the API's comments have them.
inline constexpr std::string_view kPoolPattern = "pools/{pool}";
inline constexpr std::string_view kWorkerPattern = "pools/{pool}/workers/{worker}";
inline constexpr std::string_view kRequestPattern = "pools/{pool}/workers/{worker}/requests/{request}";
inline constexpr std::string_view kOperationPattern = "operations/{operation}";

// In the parent of a list, "-" as an id stands for all.
enum class Dashes { kRefused, kForAny };

// The ids in a name; nothing when it does not have this form. {pool} is what a pool may be called (pool.proto), all
// others are numbers.
std::optional<std::vector<std::string>> IdsOfName(std::string_view name, std::string_view pattern,
                                                  Dashes dashes = Dashes::kRefused);

// The name with these ids, as many as the pattern has; whether they can be such ids is not looked at.
std::string NameOfIds(const std::vector<std::string>& ids, std::string_view pattern);

}  // namespace greenring::control
