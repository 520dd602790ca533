// Builds the environ dictionary of PEP 3333 from a request head.
//
//   EnvironTemplate listener({.server_name = "0.0.0.0", .server_port = "8080"}, {.multiprocess = true}, errors.get());
//   PyRef environ = listener.Build(head, peer, input);
//
// A template holds what is the same for all requests of a listening socket; Build copies it (CPython clones such a
// dictionary with one memcpy) and replaces what differs. Keys are interned once; values that repeat from request to
// request (Host, User-Agent, paths, ...) come from small direct-mapped caches. GIL held. Never parks.
#pragma once

#include "pyhost/python.h"

#include <string>

#include "pyhost/exchange.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {

// A listening socket, as environ names it.
struct ListenerInfo {
  std::string server_name;  // SERVER_NAME, not empty: the address or host it is bound to; "localhost" for unix sockets
  std::string server_port;  // SERVER_PORT, not empty: "80" for unix sockets
  std::string url_scheme = "http";
};

// What environ says of the server.
struct ServerInfo {
  bool multithread = true;    // green threads interleave as threads do
  bool multiprocess = false;  // other processes may serve the same application
};

class EnvironTemplate {
 public:
  // `errors` becomes wsgi.errors. GIL held.
  EnvironTemplate(const ListenerInfo& listener, const ServerInfo& server, PyObject* errors);

  EnvironTemplate(const EnvironTemplate&) = delete;
  EnvironTemplate& operator=(const EnvironTemplate&) = delete;

  // A new dictionary; `input` becomes wsgi.input. Null with a Python error (MemoryError). GIL held. Never parks.
  PyRef Build(const protocol::RequestHead& head, const PeerAddress& peer, PyObject* input) const;

 private:
  PyRef base_;
};

}  // namespace greenring::pyhost
