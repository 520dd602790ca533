// Builds the environ dictionary of PEP 3333 from a request head: from a request line and headers, or from the variables
// of the uwsgi protocol.
//
//   EnvironBuilder builder({.multiprocess = true}, errors.get(), file_wrapper.get());
//   const EnvironTemplate* listener = builder.AddListener({.server_name = "0.0.0.0", .server_port = "8080"});
//   PyRef environ = builder.Build({head, peer, *listener}, input);
//
// A template holds what is the same for all requests of a listening socket; Build copies it (CPython clones such a
// dictionary with one memcpy) and replaces what differs. Keys are interned once; values that repeat from request to
// request come from direct-mapped caches. GIL held in every call. Never parks.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/wire_protocol.h"
#include "pyhost/exchange.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"
#include "pyhost/string_cache.h"

namespace greenring::pyhost {

// A listening socket, as environ names it.
struct ListenerInfo {
  std::string server_name;  // SERVER_NAME, not empty: the address or host it is bound to; "localhost" for unix sockets
  std::string server_port;  // SERVER_PORT, not empty: "80" for unix sockets
  std::string url_scheme = "http";
  protocol::WireProtocol protocol = protocol::WireProtocol::kHttp;  // what its clients speak
};

// What environ says of the server.
struct ServerInfo {
  bool multithread = true;    // green threads interleave as threads do
  bool multiprocess = false;  // other processes may serve the same application
};

class EnvironTemplate {
 private:
  friend class EnvironBuilder;

  PyRef base_;
};

class EnvironBuilder {
 public:
  // `errors` becomes wsgi.errors, `file_wrapper` wsgi.file_wrapper.
  EnvironBuilder(const ServerInfo& server, PyObject* errors, PyObject* file_wrapper);

  EnvironBuilder(const EnvironBuilder&) = delete;
  EnvironBuilder& operator=(const EnvironBuilder&) = delete;

  // Keys that every later listener's environ has besides: a dictionary.
  void SetExtras(PyRef extras) { extras_ = std::move(extras); }

  // Owned by the builder.
  const EnvironTemplate* AddListener(const ListenerInfo& listener);

  // A new dictionary, of a request that `request.listener` is for; `input` becomes wsgi.input. Null with MemoryError
  // set. Never parks.
  PyRef Build(const RequestInfo& request, PyObject* input);

 private:
  // The interned keys that differ from request to request and are not made from a header's name.
  struct Keys {
    PyRef request_method, script_name, path_info, query_string, request_uri, raw_uri, server_protocol, remote_addr,
        remote_port;
    PyRef wsgi_input, url_scheme, http_host, request_id;
  };

  bool SetRequestLine(PyObject* environ, const RequestInfo& request);
  bool SetPeer(PyObject* environ, const PeerAddress& peer);
  bool SetRequest(PyObject* environ, const RequestInfo& request);
  bool SetHeaders(PyObject* environ, const protocol::RequestHead& head);
  bool SetVariables(PyObject* environ, const RequestInfo& request);
  bool MovePrefix(PyObject* environ, const RequestInfo& request, std::string_view script_name);
  bool JoinRepeatedHeaders(PyObject* environ, const protocol::RequestHead& head);
  PyRef KeyOf(std::string_view header_name);
  PyRef VariableKeyOf(std::string_view name);
  PyRef MakeKey(std::string_view header_name);
  bool SetPath(PyObject* environ, std::string_view raw_path, size_t script_name_bytes);

  // Direct-mapped caches, as StringCache. Names are found as they were received, so that a hit needs no upper-casing.
  struct NameSlot {
    std::string name;
    PyRef key;
  };
  struct PeerSlot {
    PeerAddress peer;
    PyRef address, port;
  };
  static constexpr size_t kNameSlots = 256;
  static constexpr size_t kPeerSlots = 1024;  // the connections that are active at a time

  const ServerInfo server_;
  const PyRef errors_;
  const PyRef file_wrapper_;
  PyRef extras_;
  Keys keys_;
  PyRef empty_, get_, http10_;
  PyRef common_names_;                      // dict of the interned names, each to itself
  std::array<NameSlot, kNameSlots> names_;  // of headers
  std::array<NameSlot, kNameSlots> variable_names_;
  std::array<PeerSlot, kPeerSlots> peers_;
  StringCache<512> values_;
  StringCache<512> targets_;
  std::vector<std::unique_ptr<EnvironTemplate>> listeners_;
};

}  // namespace greenring::pyhost
