#include "pyhost/environ.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "protocol/percent_decode.h"

namespace greenring::pyhost {
namespace {

using protocol::HeaderField;
using protocol::RequestHead;

// A longer name is made anew each time: nobody sends one often.
constexpr size_t kCachedNameBytesMax = 64;

// Interned, because applications look these up with interned keys: the dictionary then compares pointers. Names that
// clients invent are not interned: CPython 3.12 never frees an interned string.
constexpr std::string_view kCommonNames[] = {
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "DOCUMENT_ROOT",
    "DOCUMENT_URI",
    "HTTPS",
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_CHARSET",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_AUTHORIZATION",
    "HTTP_CACHE_CONTROL",
    "HTTP_CONNECTION",
    "HTTP_COOKIE",
    "HTTP_DNT",
    "HTTP_EXPECT",
    "HTTP_FORWARDED",
    "HTTP_HOST",
    "HTTP_IF_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_KEEP_ALIVE",
    "HTTP_ORIGIN",
    "HTTP_PRAGMA",
    "HTTP_RANGE",
    "HTTP_REFERER",
    "HTTP_SEC_FETCH_DEST",
    "HTTP_SEC_FETCH_MODE",
    "HTTP_SEC_FETCH_SITE",
    "HTTP_SEC_FETCH_USER",
    "HTTP_TE",
    "HTTP_TRACEPARENT",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_UPGRADE",
    "HTTP_USER_AGENT",
    "HTTP_VIA",
    "HTTP_X_CSRFTOKEN",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
    "HTTP_X_REQUEST_ID",
    "HTTP_X_REQUESTED_WITH",
    "PATH_INFO",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "REMOTE_USER",
    "REQUEST_METHOD",
    "REQUEST_SCHEME",
    "REQUEST_URI",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
};

PyRef Intern(std::string_view text) {
  PyObject* string = FromLatin1(text).release();
  if (string != nullptr) PyUnicode_InternInPlace(&string);
  return PyRef(string);
}

bool Set(PyObject* dictionary, const PyRef& key, const PyRef& value) {
  return key && value && PyDict_SetItem(dictionary, key.get(), value.get()) == 0;
}

void SetConstant(PyObject* dictionary, const char* key, PyRef value) {
  GREENRING_CHECK(Set(dictionary, Intern(key), value));
}

// `name`, a token, compared with `lower`.
bool EqualsIgnoreCase(std::string_view name, std::string_view lower) {
  return name.size() == lower.size() &&
         std::equal(name.begin(), name.end(), lower.begin(), [](char a, char b) { return (a | 0x20) == b; });
}

}  // namespace

EnvironBuilder::EnvironBuilder(const ServerInfo& server, PyObject* errors, PyObject* file_wrapper)
    : server_(server), errors_(PyRef::Share(errors)), file_wrapper_(PyRef::Share(file_wrapper)) {
  const std::pair<PyRef*, const char*> interned[] = {
      {&keys_.request_method, "REQUEST_METHOD"},
      {&keys_.script_name, "SCRIPT_NAME"},
      {&keys_.path_info, "PATH_INFO"},
      {&keys_.query_string, "QUERY_STRING"},
      {&keys_.request_uri, "REQUEST_URI"},
      {&keys_.raw_uri, "RAW_URI"},
      {&keys_.server_protocol, "SERVER_PROTOCOL"},
      {&keys_.remote_addr, "REMOTE_ADDR"},
      {&keys_.remote_port, "REMOTE_PORT"},
      {&keys_.wsgi_input, "wsgi.input"},
      {&keys_.url_scheme, "wsgi.url_scheme"},
      {&keys_.http_host, "HTTP_HOST"},
      {&keys_.request_id, "greenring.request_id"},
      {&empty_, ""},
      {&get_, "GET"},
      {&http10_, "HTTP/1.0"},
  };
  for (const auto& [target, text] : interned) *target = Intern(text);
  common_names_.reset(PyDict_New());
  for (const std::string_view text : kCommonNames) {
    const PyRef name = Intern(text);
    GREENRING_CHECK(Set(common_names_.get(), name, name));
  }
}

const EnvironTemplate* EnvironBuilder::AddListener(const ListenerInfo& listener) {
  auto added = std::make_unique<EnvironTemplate>();
  added->base_.reset(PyDict_New());
  PyObject* base = added->base_.get();
  GREENRING_CHECK(base != nullptr);
  // What every request has: Build replaces values, which keeps the copy's layout.
  GREENRING_CHECK(Set(base, keys_.request_method, get_));
  for (const PyRef* key : {&keys_.script_name, &keys_.path_info, &keys_.query_string}) {
    GREENRING_CHECK(Set(base, *key, empty_));
  }
  // And what one has that came over HTTP. A web server that speaks the uwsgi protocol says what there is itself.
  if (listener.protocol == protocol::WireProtocol::kHttp) {
    for (const PyRef* key : {&keys_.request_uri, &keys_.raw_uri, &keys_.http_host}) {
      GREENRING_CHECK(Set(base, *key, empty_));
    }
  }
  SetConstant(base, "SERVER_NAME", FromLatin1(listener.server_name));
  SetConstant(base, "SERVER_PORT", FromLatin1(listener.server_port));
  SetConstant(base, "SERVER_PROTOCOL", Intern("HTTP/1.1"));
  SetConstant(base, "SERVER_SOFTWARE", Intern("greenring"));
  for (const PyRef* key : {&keys_.remote_addr, &keys_.remote_port, &keys_.wsgi_input, &keys_.request_id}) {
    GREENRING_CHECK(Set(base, *key, empty_));
  }
  SetConstant(base, "wsgi.version", PyRef(Py_BuildValue("(ii)", 1, 0)));
  SetConstant(base, "wsgi.url_scheme", FromLatin1(listener.url_scheme));
  SetConstant(base, "wsgi.errors", PyRef::Share(errors_.get()));
  SetConstant(base, "wsgi.multithread", PyRef(PyBool_FromLong(server_.multithread)));
  SetConstant(base, "wsgi.multiprocess", PyRef(PyBool_FromLong(server_.multiprocess)));
  SetConstant(base, "wsgi.run_once", PyRef(PyBool_FromLong(false)));
  SetConstant(base, "wsgi.file_wrapper", PyRef::Share(file_wrapper_.get()));
  SetConstant(base, "wsgi.input_terminated", PyRef(PyBool_FromLong(true)));
  if (extras_) GREENRING_CHECK(PyDict_Update(base, extras_.get()) == 0);
  listeners_.push_back(std::move(added));
  return listeners_.back().get();
}

PyRef EnvironBuilder::Build(const RequestInfo& request, PyObject* input) {
  PyRef environ(PyDict_Copy(request.listener.base_.get()));
  if (!environ || !SetRequest(environ.get(), request) ||
      PyDict_SetItem(environ.get(), keys_.wsgi_input.get(), input) < 0 ||
      (!request.request_id.empty() && !Set(environ.get(), keys_.request_id, FromLatin1(request.request_id)))) {
    return PyRef();
  }
  return environ;
}

bool EnvironBuilder::SetRequest(PyObject* environ, const RequestInfo& request) {
  if (request.head.is_uwsgi) return SetVariables(environ, request);
  return SetRequestLine(environ, request) && SetPeer(environ, request.peer) && SetHeaders(environ, request.head);
}

bool EnvironBuilder::SetRequestLine(PyObject* environ, const RequestInfo& request) {
  const RequestHead& head = request.head;
  if (head.method != "GET" && !Set(environ, keys_.request_method, values_.Get(head.method))) return false;
  const PyRef target = targets_.Get(head.target);
  const bool target_is_path = head.path == head.target && head.path.find('%') == std::string_view::npos &&
                              head.path[0] == '/' && request.script_name_bytes == 0;
  return (target_is_path ? Set(environ, keys_.path_info, target)
                         : SetPath(environ, head.path, request.script_name_bytes)) &&
         Set(environ, keys_.request_uri, target) && Set(environ, keys_.raw_uri, target) &&
         (head.query.empty() || Set(environ, keys_.query_string, targets_.Get(head.query))) &&
         (head.version == protocol::HttpVersion::kHttp11 || Set(environ, keys_.server_protocol, http10_));
}

bool EnvironBuilder::SetPath(PyObject* environ, std::string_view raw_path, size_t script_name_bytes) {
  if (raw_path == "*") return Set(environ, keys_.path_info, empty_);  // OPTIONS *: PEP 3333 has no path for it
  std::string decoded;
  std::string_view path = raw_path;
  if (path.find('%') != std::string_view::npos) {
    decoded.resize(path.size());
    decoded.resize(protocol::PercentDecode(path, decoded.data()));
    path = decoded;
  }
  if (script_name_bytes > 0) {
    GREENRING_DCHECK(script_name_bytes <= path.size());
    if (!Set(environ, keys_.script_name, targets_.Get(path.substr(0, script_name_bytes)))) return false;
    path.remove_prefix(script_name_bytes);
  }
  return Set(environ, keys_.path_info, targets_.Get(path));
}

bool EnvironBuilder::SetPeer(PyObject* environ, const PeerAddress& peer) {
  if (peer.family == PeerAddress::Family::kUnix) return true;  // the template's empty strings
  static_assert(offsetof(PeerAddress, port) == sizeof peer.ip);
  const std::string_view ip_and_port(reinterpret_cast<const char*>(&peer), sizeof peer.ip + sizeof peer.port);
  PeerSlot& slot = peers_[SampleHash(ip_and_port) % kPeerSlots];
  if (slot.peer != peer || !slot.address || !slot.port) {
    slot = {peer, values_.Get(peer.IpText()), FromLatin1(std::to_string(peer.port))};
  }
  return Set(environ, keys_.remote_addr, slot.address) && Set(environ, keys_.remote_port, slot.port);
}

PyRef EnvironBuilder::KeyOf(std::string_view name) {
  if (name.size() > kCachedNameBytesMax) return MakeKey(name);
  NameSlot& slot = names_[SampleHash(name) % kNameSlots];
  if (slot.name != name || !slot.key) slot = {std::string(name), MakeKey(name)};
  return PyRef::Share(slot.key.get());
}

PyRef EnvironBuilder::MakeKey(std::string_view name) {
  std::string key = "HTTP_" + std::string(name);
  for (char& c : key) {
    if (c == '-') c = '_';
    if (c >= 'a' && c <= 'z') c -= 'a' - 'A';
  }
  if (key == "HTTP_CONTENT_TYPE" || key == "HTTP_CONTENT_LENGTH") key.erase(0, std::strlen("HTTP_"));
  PyRef made = FromLatin1(key);
  PyObject* interned = made ? PyDict_GetItemWithError(common_names_.get(), made.get()) : nullptr;
  return interned != nullptr ? PyRef::Share(interned) : std::move(made);
}

bool EnvironBuilder::SetHeaders(PyObject* environ, const RequestHead& head) {
  const Py_ssize_t size_before = PyDict_GET_SIZE(environ);
  bool has_host = false;
  for (const HeaderField& field : head.headers) {
    const PyRef key = KeyOf(field.name);
    has_host = has_host || key.get() == keys_.http_host.get();
    if (!Set(environ, key, values_.Get(field.value))) return false;
  }
  // Each new name made the dictionary grow; Host was there already.
  const size_t names = static_cast<size_t>(PyDict_GET_SIZE(environ) - size_before) + has_host;
  if (names != head.headers.size() && !JoinRepeatedHeaders(environ, head)) return false;
  return has_host || PyDict_DelItem(environ, keys_.http_host.get()) == 0;
}

// Some name came more than once and its last value won. Rare, so the search for which is linear; the headers are
// bounded (Limits::header_count_max).
bool EnvironBuilder::JoinRepeatedHeaders(PyObject* environ, const RequestHead& head) {
  struct Joined {
    PyRef key;
    std::string value;
    bool repeated = false;
  };
  std::vector<Joined> all;
  for (const HeaderField& field : head.headers) {
    PyRef key = KeyOf(field.name);
    if (!key) return false;
    const auto earlier = std::find_if(all.begin(), all.end(), [&key](const Joined& joined) {
      return PyUnicode_Compare(joined.key.get(), key.get()) == 0;
    });
    if (earlier == all.end()) {
      all.push_back({std::move(key), std::string(field.value)});
    } else {
      earlier->value.append(EqualsIgnoreCase(field.name, "cookie") ? "; " : ",").append(field.value);
      earlier->repeated = true;
    }
  }
  return std::all_of(all.begin(), all.end(), [environ](const Joined& joined) {
    return !joined.repeated || Set(environ, joined.key, FromLatin1(joined.value));
  });
}

// As they are, over the template; the parser has left out what must not come from outside.
bool EnvironBuilder::SetVariables(PyObject* environ, const RequestInfo& request) {
  const RequestHead& head = request.head;
  if (head.remote_addr.empty() && !SetPeer(environ, request.peer)) return false;
  std::string_view script_name;
  for (const protocol::Variable& variable : head.variables) {
    const PyRef key = VariableKeyOf(variable.name);
    if (key.get() == keys_.script_name.get()) script_name = variable.value;
    const bool is_target = key.get() == keys_.path_info.get() || key.get() == keys_.request_uri.get() ||
                           key.get() == keys_.query_string.get();
    if (!Set(environ, key, is_target ? targets_.Get(variable.value) : values_.Get(variable.value))) return false;
  }
  return (head.scheme.empty() || Set(environ, keys_.url_scheme, values_.Get(head.scheme))) &&
         (request.script_name_bytes == 0 || MovePrefix(environ, request, script_name));
}

// What a route has taken of the path, from PATH_INFO to the end of `script_name`. A path that is REQUEST_URI's stays
// there: without PATH_INFO the application has none.
bool EnvironBuilder::MovePrefix(PyObject* environ, const RequestInfo& request, std::string_view script_name) {
  std::string path(request.head.path);
  if (!request.head.path_decoded) path.resize(protocol::PercentDecode(path, path.data()));
  const size_t prefix_bytes = request.script_name_bytes;
  GREENRING_DCHECK(prefix_bytes <= path.size());
  const std::string mount = std::string(script_name).append(path, 0, prefix_bytes);
  return Set(environ, keys_.script_name, values_.Get(mount)) &&
         (!request.head.path_decoded || Set(environ, keys_.path_info, targets_.Get(path.substr(prefix_bytes))));
}

PyRef EnvironBuilder::VariableKeyOf(std::string_view name) {
  NameSlot& slot = variable_names_[SampleHash(name) % kNameSlots];
  if (slot.name != name || !slot.key) {
    PyRef made = FromLatin1(name);
    PyObject* interned = made ? PyDict_GetItemWithError(common_names_.get(), made.get()) : nullptr;
    if (interned != nullptr) made = PyRef::Share(interned);
    if (name.size() > kCachedNameBytesMax) return made;
    slot = {std::string(name), std::move(made)};
  }
  return PyRef::Share(slot.key.get());
}

}  // namespace greenring::pyhost
