// The screen of `top`: a line about the server, one about everything together, the tables that were chosen, and the
// keys.
#pragma once

#include "absl/time/time.h"
#include "tools/greenctl/top/model.h"
#include "tools/greenctl/top/screen.h"

namespace greenring::greenctl {

// Exactly `height` rows of exactly `width` columns, however little that is.
Screen Render(const Model& model, int width, int height, absl::Time now);

}  // namespace greenring::greenctl
