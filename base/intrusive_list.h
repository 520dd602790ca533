// A doubly linked list whose links live in the elements, so that linking and unlinking never allocate.
//
//   struct Waiter : ListLink { ... };
//   IntrusiveList<Waiter> waiters;
//   waiters.PushBack(&w);
//   w.Unlink();                            // from whichever list holds it
//
// The list owns nothing; an element must be unlinked before it dies (checked in the destructor). One thread only.
#pragma once

#include <cstddef>

#include "base/check.h"

namespace greenring {

class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { GREENRING_DCHECK(!linked()); }

  bool linked() const { return next_ != nullptr; }

  // Takes the element out of its list. Does nothing when it is in none.
  void Unlink() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = prev_ = nullptr;
  }

 private:
  template <typename T>
  friend class IntrusiveList;

  ListLink* next_ = nullptr;
  ListLink* prev_ = nullptr;
};

// T must derive from ListLink, once.
template <typename T>
class IntrusiveList {
 public:
  IntrusiveList() { head_.next_ = head_.prev_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    GREENRING_CHECK(empty());
    head_.next_ = head_.prev_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }

  T* front() const { return empty() ? nullptr : static_cast<T*>(head_.next_); }

  void PushBack(T* element) { InsertBefore(&head_, element); }
  void PushFront(T* element) { InsertBefore(head_.next_, element); }

  // nullptr when the list is empty.
  T* PopFront() {
    T* element = front();
    if (element != nullptr) static_cast<ListLink*>(element)->Unlink();
    return element;
  }

  // Moves all of `other`'s elements behind ours, in their order.
  void Append(IntrusiveList* other) {
    if (other->empty()) return;
    ListLink* first = other->head_.next_;
    ListLink* last = other->head_.prev_;
    first->prev_ = head_.prev_;
    head_.prev_->next_ = first;
    last->next_ = &head_;
    head_.prev_ = last;
    other->head_.next_ = other->head_.prev_ = &other->head_;
  }

  // The element after `element`, nullptr at the end. For walking without unlinking.
  T* Next(const T* element) const {
    ListLink* next = static_cast<const ListLink*>(element)->next_;
    return next == &head_ ? nullptr : static_cast<T*>(next);
  }

  // Walks the list: O(n).
  size_t Count() const {
    size_t count = 0;
    for (const ListLink* link = head_.next_; link != &head_; link = link->next_) ++count;
    return count;
  }

 private:
  static void InsertBefore(ListLink* position, ListLink* element) {
    GREENRING_DCHECK(!element->linked());
    element->prev_ = position->prev_;
    element->next_ = position;
    position->prev_->next_ = element;
    position->prev_ = element;
  }

  ListLink head_;
};

}  // namespace greenring
