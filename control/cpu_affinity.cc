#include "control/cpu_affinity.h"

#include <sched.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace greenring::control {
namespace {

// "0,2" or "0-3", or both together.
std::vector<int> ParseCpus(absl::string_view text) {
  std::vector<int> cpus;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> range = absl::StrSplit(part, absl::MaxSplits('-', 1));
    int first = 0;
    if (!absl::SimpleAtoi(range.first, &first)) continue;
    int last = first;
    if (!range.second.empty() && !absl::SimpleAtoi(range.second, &last)) continue;
    for (int cpu = first; cpu <= last && cpu < CPU_SETSIZE; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace

std::vector<int> CpusOf(const v1::CpuAffinity& affinity, int slot, const std::vector<int>& available) {
  if (affinity.policy() == v1::CpuAffinity::SPREAD && !available.empty()) {
    return {available[static_cast<size_t>(slot - 1) % available.size()]};
  }
  if (affinity.policy() == v1::CpuAffinity::LIST && affinity.cpus_size() > 0) {
    return ParseCpus(affinity.cpus((slot - 1) % affinity.cpus_size()));
  }
  return {};
}

std::vector<int> AvailableCpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace greenring::control
