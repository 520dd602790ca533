// Calls without an implementation of their own yet: the C library's.
#include "base/sanitizers.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {

#define PARKS(result, name, parameters, arguments) \
  __attribute__((weak)) GREENRING_UNINSTRUMENTED result name parameters { return real::name.load() arguments; }
#define TWIN(result, name, parameters, arguments, of)
#define ALWAYS(result, name, parameters, arguments) PARKS(result, name, parameters, arguments)
#include "ioloop/posix/calls.inc"
#undef PARKS
#undef TWIN
#undef ALWAYS

}  // namespace greenring::posix::parking
