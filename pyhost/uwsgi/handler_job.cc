#include "pyhost/uwsgi/handler_job.h"

#include <memory>
#include <string>

#include "pyhost/green_pool.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {
namespace {

class FunctionJob final : public GreenPool::Job {
 public:
  explicit FunctionJob(PyObject* function) : function_(PyRef::Share(function)) {}

 private:
  void Run() override {
    const PyRef result(PyObject_CallNoArgs(function_.get()));
    if (!result) PyErr_WriteUnraisable(function_.get());
  }
  // The worker ends: as if the signal had not come.
  void CancelBeforeRun(PyObject*) override {}
  void OnEnded() override { delete this; }
  const char* name() const override { return "uwsgi signal"; }

  const PyRef function_;
};

}  // namespace

bool StartInGreenThread(PyObject* function) {
  auto job = std::make_unique<FunctionJob>(function);
  const absl::Status started = GreenPool::Start(job.get());
  if (!started.ok()) {
    PyErr_SetString(PyExc_RuntimeError, std::string(started.message()).c_str());
    return false;
  }
  (void)job.release();  // deletes itself
  return true;
}

}  // namespace greenring::pyhost
