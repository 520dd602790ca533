// The Python module `greenring`: what an application that runs in this server can import. greenring.pyi beside it types
// and documents it for people and for type checkers.
//
//   RegisterModule();                  // before Interpreter::Start
//   ...                                // Python: import greenring
//
// Each part of it is a file here, with a function that adds it to the module.
#pragma once

namespace greenring::pyhost {

// `import greenring` finds it from then on. Before CPython starts, once.
void RegisterModule();

}  // namespace greenring::pyhost
