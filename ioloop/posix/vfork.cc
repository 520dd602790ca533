// vfork(2) for processors that vfork.S does not know: fork. Slower, and the parent goes on before the child's exec,
// both of which POSIX allows; the child finds no loop to park on, as after any fork.
#if !defined(__x86_64__)

#include <unistd.h>

extern "C" pid_t vfork() noexcept { return fork(); }

#endif
