// The server's entry point: which of its processes this one is.
#include <string_view>

#include "worker/worker_main.h"

int main(int argc, char** argv) {
  // Nothing else is on the command line of a worker: its master tells it the rest.
  if (argc == 2 && std::string_view(argv[1]) == "--worker") return greenring::worker::RunUnderMaster();
  return greenring::worker::RunAlone(argc, argv);
}
