#include "pyhost/module/module.h"

#include "base/check.h"
#include "pyhost/module/parts.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

constexpr bool (*kParts[])(PyObject* module) = {
    &AddErrors,    &AddAudit,      &AddTimeout, &AddGo,   &AddChannel, &AddSelect,
    &AddWaitGroup, &AddScheduling, &AddRequest, &AddDump, &AddStack,
};

PyModuleDef kModule = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "greenring",
    .m_doc = "Green threads, channels and deadlines of the server that runs this program.",
    .m_size = -1,
    .m_methods = nullptr,
    .m_slots = nullptr,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

PyObject* NewModule() {
  PyRef module(PyModule_Create(&kModule));
  if (!module) return nullptr;
  for (const auto add : kParts) {
    if (!add(module.get())) return nullptr;
  }
  return module.release();
}

}  // namespace

void RegisterModule() { GREENRING_CHECK(PyImport_AppendInittab("greenring", &NewModule) == 0); }

}  // namespace greenring::pyhost
