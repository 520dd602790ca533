#include "worker/http_statistics.h"

#include <algorithm>

namespace greenring::worker {

void HttpStatistics::OnEnded(const End& end) {
  CountResponse(end.status);
  switch (end.cut_short) {
    case pyhost::CutShort::kNo:
      break;
    case pyhost::CutShort::kTimedOut:
      ++timed_out_;
      break;
    case pyhost::CutShort::kDisconnected:
    case pyhost::CutShort::kDraining:
    case pyhost::CutShort::kCancelled:
      ++cancelled_;
      break;
  }
  if (!end.ran) return;
  run_time_.Record(end.run_ns);
  Generation* const generation = FindOrAdd(end.generation);
  ++generation->requests;
  if (end.status >= 500) ++generation->errors;
  generation->run_time.Record(end.run_ns);
}

void HttpStatistics::CountResponse(int status) {
  ++requests_;
  if (status == 0) status = kStatusClientGone;
  ++by_status_[std::min(static_cast<size_t>(std::max(status, 0)), by_status_.size() - 1)];
}

HttpStatistics::Generation* HttpStatistics::FindOrAdd(int64_t number) {
  const auto is_not_newer = [number](const Generation& one) { return one.generation <= number; };
  auto place = std::find_if(generations_.begin(), generations_.end(), is_not_newer);
  if (place != generations_.end() && place->generation == number) return &*place;
  if (generations_.size() == kGenerationsMax) {
    generations_.pop_back();
    place = std::find_if(generations_.begin(), generations_.end(), is_not_newer);
  }
  Generation* const added = &*generations_.emplace(place);
  added->generation = number;
  return added;
}

}  // namespace greenring::worker
