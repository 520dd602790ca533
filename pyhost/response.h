// The response of one request as the application makes it: start_response, the write callable that it returns, and what
// has become of the head.
//
//   Response response(type.get());
//   response.Attach(exchange);
//   ... application(environ, response.start_response()) ...
//   if (response.started()) response.SendComplete(body);         // or Send(piece)..., Finish()
//   if (response.Detach()) use it again; else throw it away      // the application kept start_response or write
//
// PEP 3333: a second start_response needs exc_info, and raises that exception again once the head is on its way. Used
// on the green thread that handles the request, GIL held.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "protocol/response_encoder.h"
#include "pyhost/exchange.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

class Response {
 public:
  // The type of the object behind the callables, shared by all responses. Null with a Python error.
  static PyRef NewHandleType();

  // Aborts when there is no memory for the callables.
  explicit Response(PyObject* handle_type);

  // Callables that the application kept raise from now on.
  ~Response();

  Response(const Response&) = delete;
  Response& operator=(const Response&) = delete;

  void Attach(Exchange* exchange);

  // The request has ended. Whether the application has kept nothing, so that this may serve another.
  bool Detach();

  PyObject* start_response() const { return start_response_.get(); }

  // start_response has been called, or need not be any more.
  bool started() const { return encoder_.has_status() || disconnected_; }
  bool head_sent() const { return head_sent_; }
  int64_t content_length() const { return encoder_.content_length(); }

  // A call of the exchange failed, or would come too late: nothing reaches the client any more, but for Replace.
  bool gone() const { return !status_.ok(); }

  // The client has got the whole response.
  bool finished() const { return finished_; }

  // The following return whether the client is still there. Precondition: started().

  // The whole body, or the last piece of it, and the end of the response. Parks.
  bool SendComplete(std::string_view body);

  // A piece of the body, behind the head if that is still to be sent; `body_bytes` is then the whole body's size, -1
  // when unknown. Parks.
  bool Send(std::string_view piece, int64_t body_bytes = -1);

  // The same for a part of a regular file that is the whole rest of the body. Parks.
  bool SendFile(int fd, int64_t offset, int64_t size_bytes);

  // Parks at most briefly.
  bool Flush();

  // The client gets the end of the response as it is, if it was started, and the end of its connection. Whatever the
  // application gives from now on is dropped. Once; later calls have no effect. Parks.
  void Disconnect();
  bool disconnected() const { return disconnected_; }

  // Drops what the application started and answers with this text, even if it is late. Precondition: !head_sent().
  // Parks.
  bool Replace(std::string_view status, std::string_view text);

 private:
  struct Handle;

  static PyObject* StartResponse(PyObject* handle, PyObject* const* arguments, Py_ssize_t count, PyObject* names);
  static PyObject* Write(PyObject* handle, PyObject* data);
  static Response* Usable(PyObject* handle);

  bool Start(PyObject* status, PyObject* headers);
  bool AddHeader(PyObject* header);
  bool SendHead(int64_t body_bytes);
  bool Finish();
  bool InTime();
  bool Note(absl::Status status);

  static PyMethodDef kStartResponse;
  static PyMethodDef kWrite;

  PyRef handle_;
  PyRef start_response_;
  PyRef write_;
  protocol::ResponseEncoder encoder_;
  Exchange* exchange_ = nullptr;  // null while detached
  const void* owner_ = nullptr;   // who handles the request: CurrentThreadToken
  absl::Status status_;           // the first failure; CANCELLED without a head: it is too late for one
  bool head_sent_ = false;
  bool finished_ = false;
  bool disconnected_ = false;
};

}  // namespace greenring::pyhost
