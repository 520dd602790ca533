#include "pyhost/audit_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"

namespace greenring::pyhost {
namespace {

bool AreOne(const AuditFinding& left, const AuditFinding& right) {
  return left.cause == right.cause && left.gil_held == right.gil_held && left.system_call == right.system_call &&
         left.library == right.library && left.function == right.function && left.PythonLine() == right.PythonLine();
}

double Milliseconds(int64_t ns) { return static_cast<double>(ns) / kNanosecondsPerMillisecond; }

std::string Describe(const AuditFinding& finding) {
  std::string text = absl::StrFormat("  %d times, %.0f ms in all, %.0f ms at most: %s", finding.count,
                                     Milliseconds(finding.total_ns), Milliseconds(finding.longest_ns), finding.Kind());
  if (!finding.library.empty()) absl::StrAppend(&text, ", in ", finding.library);
  if (!finding.function.empty()) absl::StrAppend(&text, ", ", finding.function);
  absl::StrAppend(&text, "\n");
  absl::StrAppend(&text, finding.python_stack);
  return text;
}

}  // namespace

std::string AuditFinding::Kind() const {
  switch (cause) {
    case Cause::kSystemCall:
      return absl::StrCat("system call ", system_call, gil_held ? " with the GIL" : " without the GIL");
    case Cause::kPageFault:
      return absl::StrCat("page fault", gil_held ? " with the GIL" : " without the GIL");
    case Cause::kComputing:
      return absl::StrCat("C code that computes", gil_held ? " with the GIL" : " without the GIL");
    case Cause::kWaitingForGil:
      return "waiting for the GIL, which another OS thread has";
  }
  return "";
}

std::string AuditFinding::PythonLine() const {
  const size_t end = python_stack.find_last_not_of('\n');
  if (end == std::string::npos) return "";
  const size_t line = python_stack.rfind('\n', end) + 1;  // npos + 1: the first line
  const size_t begin = python_stack.find_first_not_of(' ', line);
  return python_stack.substr(begin, end + 1 - begin);
}

void AuditTable::Add(const AuditFinding& finding, int64_t duration_ns) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto entry = std::find_if(findings_.begin(), findings_.end(),
                            [&](const AuditFinding& known) { return AreOne(known, finding); });
  if (entry == findings_.end()) {
    if (findings_.size() == kFindingsMax) {
      ++dropped_;
      return;
    }
    entry = findings_.insert(findings_.end(), finding);
    entry->count = 0;
    entry->total_ns = entry->longest_ns = 0;
  }
  ++entry->count;
  entry->total_ns += duration_ns;
  entry->longest_ns = std::max(entry->longest_ns, duration_ns);
}

std::vector<AuditFinding> AuditTable::Findings() const {
  std::unique_lock<std::mutex> lock(mutex_);
  std::vector<AuditFinding> findings = findings_;
  lock.unlock();
  std::stable_sort(findings.begin(), findings.end(),
                   [](const AuditFinding& left, const AuditFinding& right) { return left.total_ns > right.total_ns; });
  return findings;
}

std::string AuditTable::Report(int64_t threshold_ns) const {
  const std::vector<AuditFinding> findings = Findings();
  if (findings.empty()) {
    return absl::StrFormat("audit: green-safe so far: nothing blocked the loop for %.0f ms",
                           Milliseconds(threshold_ns));
  }
  std::string text = absl::StrFormat("audit: the loop was blocked for %.0f ms and more, at %d places:\n",
                                     Milliseconds(threshold_ns), findings.size());
  for (const AuditFinding& finding : findings) absl::StrAppend(&text, Describe(finding));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (dropped_ > 0) absl::StrAppend(&text, "  ", dropped_, " times at other places\n");
  }
  text.pop_back();
  return text;
}

}  // namespace greenring::pyhost
