// Lists in pages (AIP-158). A page token says after which item the next page begins, so that what is added or removed
// meanwhile neither repeats nor hides another item. It belongs to the list that it was given for.
//
//   absl::StatusOr<PageStart> start = ParsePage(request.page_size(), request.page_token(), "pools", kPageSizes);
//   absl::Status status = FillPage(plane->ListPools(), *start, KeyOf, response->mutable_pools(),
//                                  response->mutable_next_page_token());
//
// Thread-safe; never blocks.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace greenring::control {

struct PageSizes {
  int standard = 50;
  int max = 1000;
};

struct PageStart {
  int size = 0;
  std::string list;   // what is listed: the method and what restricts it
  std::string after;  // the key of the item before; empty: from the beginning
};

// A response stays below what gRPC's clients take (4 MiB), whatever the page's size.
inline constexpr size_t kPageBytesMax = size_t{3} << 20;

// `page_size` 0 is the standard, more than the maximum the maximum. INVALID_ARGUMENT for less than 0, and for a token
// that was not given for `list`.
absl::StatusOr<PageStart> ParsePage(int page_size, const std::string& page_token, std::string_view list,
                                    PageSizes sizes);

std::string MakePageToken(const std::string& list, const std::string& key);

// Puts the items that come after `start`, in the order that `items` are in, into `page`. `is_after(item, key)` tells
// whether an item comes after the one that had this key; `key_of(item)` is never empty.
template <typename Item, typename KeyOf, typename IsAfter, typename Repeated>
void FillPage(std::vector<Item> items, const PageStart& start, KeyOf key_of, IsAfter is_after, Repeated* page,
              std::string* next_page_token) {
  size_t bytes = 0;
  std::string last;
  for (Item& item : items) {
    if (!start.after.empty() && !is_after(item, start.after)) continue;
    bytes += item.ByteSizeLong();
    if (page->size() == start.size || (page->size() > 0 && bytes > kPageBytesMax)) {
      *next_page_token = MakePageToken(start.list, last);
      return;
    }
    last = key_of(item);
    *page->Add() = std::move(item);
  }
}

// For items in ascending order of their keys.
template <typename Item, typename KeyOf, typename Repeated>
void FillPage(std::vector<Item> items, const PageStart& start, KeyOf key_of, Repeated* page,
              std::string* next_page_token) {
  FillPage(
      std::move(items), start, key_of,
      [&key_of](const Item& item, const std::string& key) { return key_of(item) > key; }, page, next_page_token);
}

}  // namespace greenring::control
