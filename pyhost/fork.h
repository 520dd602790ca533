// os.fork() on a green thread: what CPython needs to know in the child.
//
//   PrepareForks();           // once, after the interpreter's start and before anybody imports threading; GIL held
//
// The child goes on with the thread that forked, as its main thread. A core's thread is not one that threading.Thread
// has started, and CPython 3.11 has a fault there: if somebody has asked threading.current_thread() about it before,
// the child cannot end in order (multiprocessing's children exit with 1). So in the child the stand-in that was made
// for it is forgotten, before threading looks.
#pragma once

namespace greenring::pyhost {

void PrepareForks();

}  // namespace greenring::pyhost
