#include "control/spread_program.h"

#include <errno.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errno_status.h"

namespace greenring::control {

std::vector<sock_filter> SpreadProgram(const std::vector<int>& places) {
  GREENRING_CHECK(!places.empty());
  const auto constant = [](size_t value) { return static_cast<__u32>(value); };
  std::vector<sock_filter> program;
  // docs/PROCESSES.md has the measurements behind the random number.
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<__u32>(SKF_AD_OFF + SKF_AD_RANDOM)));
  program.push_back(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, constant(places.size())));
  for (size_t i = 0; i + 1 < places.size(); ++i) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, constant(i), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, static_cast<__u32>(places[i])));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, static_cast<__u32>(places.back())));
  return program;
}

absl::Status AttachSpreadProgram(int fd, const std::vector<int>& places, size_t group_size) {
  if (group_size == 1) return absl::OkStatus();
  if (places.size() > kSpreadPlacesMax) {
    return absl::InvalidArgumentError(absl::StrCat("connections can be spread over ", kSpreadPlacesMax, " workers"));
  }
  std::vector<sock_filter> program = SpreadProgram(places);
  const sock_fprog attached = {.len = static_cast<unsigned short>(program.size()), .filter = program.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &attached, sizeof(attached)) == 0) return absl::OkStatus();
  return ErrnoToStatus(errno, "say how new connections are spread over the workers (SO_ATTACH_REUSEPORT_CBPF)");
}

}  // namespace greenring::control
