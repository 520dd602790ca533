// What the calls of calls.inc do for green threads, each under its C name: parameters, results and errno are the C
// library's. Parks, all of them that the table says so; on the current green thread only (those of ALWAYS: any thread).
#pragma once

#include "ioloop/posix/interposer.h"

namespace greenring::posix::parking {

#define PARKS(result, name, parameters, arguments) result name parameters;
#define TWIN(result, name, parameters, arguments, of)
#define ALWAYS(result, name, parameters, arguments) result name parameters;
#include "ioloop/posix/calls.inc"
#undef PARKS
#undef TWIN
#undef ALWAYS

}  // namespace greenring::posix::parking
