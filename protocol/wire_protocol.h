// What a listening socket's clients speak. Plain data.
#pragma once

#include <cstdint>

namespace greenring::protocol {

enum class WireProtocol : uint8_t {
  kHttp,   // HTTP/1.1
  kUwsgi,  // the uwsgi protocol, as web servers speak it to uWSGI; see uwsgi_parser.h
};

}  // namespace greenring::protocol
