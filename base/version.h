// Which Greenring this is: what the server and its tools say of themselves.
#pragma once

namespace greenring {

inline constexpr char kVersion[] = "0.5.0";

}  // namespace greenring
