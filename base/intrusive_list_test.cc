#include "base/intrusive_list.h"

#include "gtest/gtest.h"

namespace greenring {
namespace {

struct Item : ListLink {
  explicit Item(int value) : value(value) {}
  int value;
};

TEST(IntrusiveListTest, PopsInOrderOfPush) {
  Item a(1), b(2), c(3);
  IntrusiveList<Item> list;
  list.PushBack(&b);
  list.PushBack(&c);
  list.PushFront(&a);
  EXPECT_EQ(list.Count(), 3u);
  EXPECT_EQ(list.PopFront()->value, 1);
  EXPECT_EQ(list.PopFront()->value, 2);
  EXPECT_EQ(list.PopFront()->value, 3);
  EXPECT_EQ(list.PopFront(), nullptr);
}

TEST(IntrusiveListTest, UnlinkTakesOutOfTheMiddleAndMayBeRepeated) {
  Item a(1), b(2), c(3);
  IntrusiveList<Item> list;
  list.PushBack(&a);
  list.PushBack(&b);
  list.PushBack(&c);
  b.Unlink();
  b.Unlink();
  EXPECT_FALSE(b.linked());
  EXPECT_EQ(list.Next(&a), &c);
  EXPECT_EQ(list.Next(&c), nullptr);
  a.Unlink();
  c.Unlink();
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveListTest, AppendMovesAllAndLeavesTheOtherUsable) {
  Item a(1), b(2), c(3);
  IntrusiveList<Item> list, other;
  list.PushBack(&a);
  other.PushBack(&b);
  list.Append(&other);
  EXPECT_TRUE(other.empty());
  other.PushBack(&c);
  EXPECT_EQ(list.PopFront()->value, 1);
  EXPECT_EQ(list.PopFront()->value, 2);
  EXPECT_EQ(other.PopFront()->value, 3);
}

}  // namespace
}  // namespace greenring
