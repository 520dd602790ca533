#include "worker/access_log.h"

#include <time.h>

#include <utility>

#include "base/clock.h"
#include "base/json_text.h"
#include "protocol/request_head.h"

namespace greenring::worker {
namespace {

int StatusOf(const AccessLog::Entry& entry) { return entry.status != 0 ? entry.status : kStatusClientGone; }

}  // namespace

void AccessLog::AppendEscaped(std::string_view text) {
  constexpr char kHexDigits[] = "0123456789abcdef";
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
      buffer_ += c;
    } else {
      buffer_ += "\\x";
      buffer_ += kHexDigits[byte >> 4];
      buffer_ += kHexDigits[byte & 15];
    }
  }
}

void AccessLog::Append(const Entry& entry, int64_t now_ns) {
  if (format_ == LogFormat::kText) {
    AppendCombined(entry, now_ns / kNanosecondsPerSecond);
  } else {
    AppendObject(entry, now_ns);
  }
  if (buffer_.size() >= kBufferBytesMax) Flush();
}

void AccessLog::AppendObject(const Entry& entry, int64_t now_ns) {
  const protocol::RequestHead& head = *entry.head;
  buffer_ += '{';
  AppendJsonField("time", JsonTime(now_ns), &buffer_);
  if (!entry.request_id.empty()) AppendJsonField("request_id", entry.request_id, &buffer_);
  AppendJsonField("client", entry.client, &buffer_);
  if (!head.method.empty()) {
    AppendJsonField("method", head.method, &buffer_);
    AppendJsonField("target", head.target, &buffer_);
    AppendJsonField("protocol", head.version == protocol::HttpVersion::kHttp11 ? "HTTP/1.1" : "HTTP/1.0", &buffer_);
    AppendJsonField("host", head.host, &buffer_);
  }
  AppendJsonField("status", StatusOf(entry), &buffer_);
  AppendJsonField("bytes", entry.body_bytes, &buffer_);
  AppendJsonMilliseconds("queue_ms", entry.queue_ns, &buffer_);
  AppendJsonMilliseconds("run_ms", entry.run_ns, &buffer_);
  for (const auto& [name, header] : {std::pair("referer", "referer"), std::pair("user_agent", "user-agent")}) {
    const std::string_view value = FindHeader(head, header).value_or("-");
    if (value != "-") AppendJsonField(name, value, &buffer_);
  }
  if (entry.variables != nullptr && !entry.variables->empty()) {
    buffer_ += ",\"vars\":{";
    for (const auto& [name, value] : *entry.variables) {
      if (buffer_.back() != '{') buffer_ += ',';
      AppendJsonString(name, &buffer_);  // unlike the server's own it may have anything in it
      buffer_ += ':';
      AppendJsonString(value, &buffer_);
    }
    buffer_ += '}';
  }
  buffer_ += "}\n";
}

void AccessLog::AppendCombined(const Entry& entry, int64_t now_s) {
  if (now_s != stamp_s_) {
    stamp_s_ = now_s;
    const time_t seconds = now_s;
    tm local;
    localtime_r(&seconds, &local);
    char text[64];
    stamp_.assign(text, strftime(text, sizeof(text), " - - [%d/%b/%Y:%H:%M:%S %z] \"", &local));
  }
  const protocol::RequestHead& head = *entry.head;
  buffer_ += entry.client;
  buffer_ += stamp_;
  if (head.method.empty()) {
    buffer_ += '-';
  } else {
    AppendEscaped(head.method);
    buffer_ += ' ';
    AppendEscaped(head.target);
    buffer_ += head.version == protocol::HttpVersion::kHttp11 ? " HTTP/1.1" : " HTTP/1.0";
  }
  buffer_ += "\" ";
  buffer_ += std::to_string(StatusOf(entry));
  buffer_ += ' ';
  buffer_ += entry.body_bytes > 0 ? std::to_string(entry.body_bytes) : "-";
  buffer_ += " \"";
  AppendEscaped(FindHeader(head, "referer").value_or("-"));
  buffer_ += "\" \"";
  AppendEscaped(FindHeader(head, "user-agent").value_or("-"));
  buffer_ += '"';
  if (entry.variables != nullptr) {
    for (const auto& [name, value] : *entry.variables) {
      buffer_ += ' ';
      AppendEscaped(name);
      buffer_ += "=\"";
      AppendEscaped(value);
      buffer_ += '"';
    }
  }
  buffer_ += '\n';
}

void AccessLog::Flush() {
  if (buffer_.empty()) return;
  file_->Write(buffer_);
  buffer_.clear();
}

}  // namespace greenring::worker
