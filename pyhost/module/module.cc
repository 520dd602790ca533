#include "pyhost/module/module.h"

#include "base/check.h"
#include "pyhost/module/parts.h"
#include "pyhost/new_module.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

constexpr AddPart kParts[] = {
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

PyObject* NewModule() { return NewModuleOf(&kModule, kParts); }

}  // namespace

void RegisterModule() { GREENRING_CHECK(PyImport_AppendInittab("greenring", &NewModule) == 0); }

}  // namespace greenring::pyhost
