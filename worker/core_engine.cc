#include "worker/core_engine.h"

namespace greenring::worker {

std::string_view CoreEngineName(CoreEngine engine) {
  switch (engine) {
    case CoreEngine::kUcontext:
      return "ucontext";
    case CoreEngine::kFcontext:
      return "fcontext";
    case CoreEngine::kThread:
      return "thread";
    case CoreEngine::kGreenlet:
      return "greenlet";
    case CoreEngine::kGevent:
      return "gevent";
  }
  return "unknown";
}

green::Engine GreenEngineOf(CoreEngine engine) {
  return engine == CoreEngine::kFcontext ? green::Engine::kFcontext : green::Engine::kUcontext;
}

}  // namespace greenring::worker
