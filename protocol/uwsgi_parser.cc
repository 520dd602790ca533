#include "protocol/uwsgi_parser.h"

#include <array>
#include <cstring>
#include <vector>

#include "protocol/bytes.h"

namespace greenring::protocol {
namespace {

constexpr size_t kPacketHeaderBytes = 4;

size_t Size16(const char* p) {
  return static_cast<unsigned char>(p[0]) | static_cast<size_t>(static_cast<unsigned char>(p[1])) << 8;
}

// Of A-Z, a-z, 0-9, '_', '.' and '-'; not empty.
bool IsName(std::string_view name) {
  static constexpr auto kNameBytes = [] {
    std::array<bool, 256> table{};
    for (int c = 0; c < 256; ++c) {
      table[static_cast<size_t>(c)] = bytes_internal::IsAlnum(c) || c == '_' || c == '.' || c == '-';
    }
    return table;
  }();
  for (const char c : name) {
    if (!kNameBytes[static_cast<unsigned char>(c)]) return false;
  }
  return !name.empty();
}

// What the server itself says to the application, under names that nobody outside may use.
bool IsReserved(std::string_view name) {
  return name.starts_with("wsgi.") || name.starts_with("greenring.") || name.starts_with("uwsgi.") ||
         name.starts_with("x-wsgiorg.");
}

// One parse of one whole packet.
class PacketParser {
 public:
  PacketParser(std::string_view variables, const Limits& limits, RequestHead* head)
      : p_(variables.data()), end_(p_ + variables.size()), limits_(limits), head_(head) {}

  // kComplete without its size, or kError.
  ParseResult Run() {
    if (ParseVariables() && Conclude()) return ParseResult::Complete(0);
    return result_;
  }

 private:
  bool Fail(int status, const char* reason) {
    result_ = ParseResult::Error(status, reason);
    return false;
  }

  bool ParseVariables() {
    while (p_ != end_) {
      Variable variable;
      if (!Take(&variable.name) || !Take(&variable.value)) return Fail(400, "a variable reaches beyond its packet");
      if (!IsName(variable.name)) return Fail(400, "invalid name of a variable");
      if (!(variable.name.starts_with("HTTP_") ? NoteHeader(variable) : NoteParameter(variable))) return false;
    }
    return true;
  }

  bool Take(std::string_view* text) {
    if (end_ - p_ < 2) return false;
    const size_t size = Size16(p_);
    p_ += 2;
    if (static_cast<size_t>(end_ - p_) < size) return false;
    *text = std::string_view(p_, size);
    p_ += size;
    return true;
  }

  // A header of the client's.
  bool NoteHeader(const Variable& variable) {
    if (++header_count_ > limits_.header_count_max) return Fail(431, "too many headers");
    if (variable.name.size() + variable.value.size() > limits_.header_field_bytes_max) {
      return Fail(431, "header too long");
    }
    if (HasControl(variable.value)) return Fail(400, "control byte in a header value");
    if (variable.name == "HTTP_HOST") head_->host = variable.value;
    if (variable.name == "HTTP_TRANSFER_ENCODING") transfer_encoding_ = variable.value;
    head_->variables.push_back(variable);
    return true;
  }

  // What the web server says.
  bool NoteParameter(const Variable& variable) {
    const auto& [name, value] = variable;
    if (++parameter_count_ > kUwsgiParametersMax) return Fail(431, "too many variables");
    if (std::memchr(value.data(), '\0', value.size()) != nullptr) return Fail(400, "NUL in a variable");
    if (name == "UWSGI_SCHEME") return NoteScheme(value);
    // uWSGI loads code, changes directories and sets its environment by these.
    if (name.starts_with("UWSGI_") || IsReserved(name)) return true;
    head_->variables.push_back(variable);
    switch (name.front()) {
      case 'C':
        if (name == "CONTENT_LENGTH") return NoteContentLength(value);
        return name != "CONTENT_TYPE" || CheckLine(value);
      case 'H':
        if (name == "HTTPS") is_https_ = EqualsIgnoreCase(value, "on") || value == "1";
        return true;
      case 'P':
        if (name != "PATH_INFO") return true;
        has_path_info_ = true;
        return CheckTarget(value, &head_->path);
      case 'Q':
        return name != "QUERY_STRING" || (CheckTarget(value, &head_->query) && CheckLine(value));
      case 'R':
        return NoteRequest(name, value);
      case 'S':
        if (name == "SERVER_NAME") server_name_ = value;
        if (name == "SERVER_PROTOCOL") NoteProtocol(value);
        return !name.starts_with("SERVER_") || CheckLine(value);
      default:
        return true;
    }
  }

  bool NoteRequest(std::string_view name, std::string_view value) {
    if (name == "REQUEST_METHOD") {
      if (value.size() > limits_.method_bytes_max) return Fail(501, "method too long");
      if (!IsTokenText(value)) return Fail(400, "invalid method");
      head_->method = value;
    } else if (name == "REQUEST_URI") {
      return CheckTarget(value, &head_->target) && CheckLine(value);
    } else if (name.starts_with("REMOTE_")) {
      if (name == "REMOTE_ADDR") head_->remote_addr = value;
      return CheckLine(value);
    }
    return true;
  }

  // Names and addresses that end up in logs, and in headers that applications make of them.
  bool CheckLine(std::string_view value) { return !HasControl(value) || Fail(400, "control byte in a variable"); }

  bool CheckTarget(std::string_view value, std::string_view* out) {
    *out = value;
    return value.size() <= limits_.request_line_bytes_max || Fail(414, "request target too long");
  }

  bool NoteScheme(std::string_view value) {
    if (!value.empty() && !IsTokenText(value)) return Fail(400, "invalid scheme");
    head_->scheme = value;
    return true;
  }

  // HTTP/2 and later are the web server's business: to the application it is what HTTP/1.1 is.
  void NoteProtocol(std::string_view value) {
    const bool is_10 = value == "HTTP/1.0" || value == "HTTP/0.9";
    head_->version = is_10 ? HttpVersion::kHttp10 : HttpVersion::kHttp11;
    head_->version_minor = is_10 ? 0 : 1;
  }

  // nginx sends an empty one where there is no body.
  bool NoteContentLength(std::string_view value) {
    if (has_content_length_) return value == content_length_ || Fail(400, "two different CONTENT_LENGTHs");
    has_content_length_ = true;
    content_length_ = value;
    if (value.empty()) return true;
    head_->content_length = ParseContentLength(value);
    return head_->content_length >= 0 || Fail(400, "invalid CONTENT_LENGTH");
  }

  // What only all variables can tell.
  bool Conclude() {
    if (head_->method.empty()) return Fail(400, "no REQUEST_METHOD");
    if (head_->method == "CONNECT") return Fail(501, "CONNECT is not supported");
    if (head_->host.empty()) head_->host = server_name_;
    if (head_->scheme.empty() && is_https_) head_->scheme = "https";
    if (has_path_info_) {
      head_->path_decoded = true;
      if (head_->target.empty()) head_->target = head_->path;
    } else {
      head_->path = head_->target.substr(0, head_->target.find('?'));
    }
    return ConcludeFraming();
  }

  bool ConcludeFraming() {
    if (!content_length_.empty()) {
      head_->framing = BodyFraming::kLength;
      if (limits_.body_bytes_max >= 0 && head_->content_length > limits_.body_bytes_max) {
        return Fail(413, "request body too large");
      }
      if (!transfer_encoding_.empty()) ForgetTransferEncoding();
    } else if (!transfer_encoding_.empty()) {
      if (!EqualsIgnoreCase(transfer_encoding_, "chunked")) {
        return Fail(400, "HTTP_TRANSFER_ENCODING other than 'chunked'");
      }
      head_->framing = BodyFraming::kChunked;
      head_->content_length = -1;
    }
    return true;
  }

  // The web server has decoded the body: who believed that it is still encoded would decode it twice.
  void ForgetTransferEncoding() {
    std::erase_if(head_->variables, [](const Variable& variable) { return variable.name == "HTTP_TRANSFER_ENCODING"; });
  }

  const char* p_;
  const char* const end_;
  const Limits& limits_;
  RequestHead* const head_;
  uint32_t header_count_ = 0;
  uint32_t parameter_count_ = 0;
  bool has_path_info_ = false;
  bool has_content_length_ = false;
  bool is_https_ = false;
  std::string_view content_length_;
  std::string_view transfer_encoding_;
  std::string_view server_name_;
  ParseResult result_;
};

}  // namespace

ParseResult ParseUwsgiHead(std::string_view bytes, const Limits& limits, RequestHead* head) {
  head->Clear();
  head->is_uwsgi = true;
  if (bytes.empty()) return ParseResult::Incomplete();
  const auto modifier1 = static_cast<uint8_t>(bytes[0]);
  if (modifier1 != kUwsgiModifierWsgi && modifier1 != kUwsgiModifierPing) {
    return ParseResult::Error(400, "no packet of the uwsgi protocol for WSGI: modifier1 is not 0");
  }
  if (bytes.size() < kPacketHeaderBytes) return ParseResult::Incomplete();
  const size_t packet_bytes = kPacketHeaderBytes + Size16(bytes.data() + 1);
  if (modifier1 == kUwsgiModifierPing && packet_bytes != kPacketHeaderBytes) {
    return ParseResult::Error(400, "a ping with variables");
  }
  if (packet_bytes > limits.head_bytes_max) return ParseResult::Error(431, "request packet too large");
  if (bytes.size() < packet_bytes) return ParseResult::Incomplete();
  if (modifier1 == kUwsgiModifierPing) {
    head->is_ping = true;
    return ParseResult::Complete(packet_bytes);
  }
  ParseResult result =
      PacketParser(bytes.substr(kPacketHeaderBytes, packet_bytes - kPacketHeaderBytes), limits, head).Run();
  if (result.kind == ParseResult::Kind::kComplete) result.head_bytes = packet_bytes;
  return result;
}

}  // namespace greenring::protocol
