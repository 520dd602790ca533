// What the cores of a worker are made of. docs/ENGINES.md compares them.
//
// Thread-safe. Never parks.
#pragma once

#include <cstdint>
#include <string_view>

#include "green/context.h"

namespace greenring::worker {

enum class CoreEngine : uint8_t {
  kUcontext,  // a green thread
  kFcontext,  // a green thread
  kThread,    // an OS thread (thread_core.h)
  kGreenlet,  // a greenlet of a hub of ours (hub_core.h)
  kGevent,    // a greenlet of gevent's hub
};

// "ucontext", "gevent", ...
std::string_view CoreEngineName(CoreEngine engine);

// Of the green threads that belong to such cores: a core that is not one has one as its place on the loop.
green::Engine GreenEngineOf(CoreEngine engine);

// Many cores share one green thread, which the greenlets of all of them live on.
constexpr bool HasHub(CoreEngine engine) { return engine == CoreEngine::kGreenlet || engine == CoreEngine::kGevent; }

}  // namespace greenring::worker
