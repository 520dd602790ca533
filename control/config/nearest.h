// The name that somebody probably meant.
//
//   Nearest("async_core", {"async_cores", "workers"}) == "async_cores"
//
// Thread-safe; never blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace greenring::control {

// Of `names`, the one with the fewest letters to change, add or leave out; "" when none is near. Case, and what of -
// and _ is used, make no difference.
std::string Nearest(std::string_view text, const std::vector<std::string>& names);

// " (did you mean async_cores?)", or "".
std::string DidYouMean(std::string_view text, const std::vector<std::string>& names);

}  // namespace greenring::control
