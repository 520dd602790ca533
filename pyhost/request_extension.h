// What a module of the server adds to every request that WsgiHandler runs: keys of environ, and waits that are due
// between two items of a response.
//
//   WsgiHandler handler(std::move(application), {}, &error_log, UwsgiExtension());
//
// GIL held in every call, on the core's thread.
#pragma once

#include "pyhost/python.h"

namespace greenring::pyhost {

class CurrentCore;

class RequestExtension {
 public:
  // The keys that are the same in every environ: a new reference to a dictionary. Null with a Python error. Never
  // parks.
  virtual PyObject* Constants() = 0;

  // Before the application is called. False with a Python error: the request has failed. Never parks.
  virtual bool OnBegin(CurrentCore* core, PyObject* environ) = 0;

  // Before the application is asked for the next item, or before the list that it has returned is sent. `was_empty`:
  // the item before gave nothing to send. False with a Python error, raised as the application's. Parks.
  virtual bool BeforeNext(CurrentCore* core, PyObject* environ, bool was_empty) = 0;

  // The response is given, or has failed. False with a Python error, which is logged. Parks.
  virtual bool OnEnd(CurrentCore* core) = 0;

 protected:
  ~RequestExtension() = default;
};

}  // namespace greenring::pyhost
