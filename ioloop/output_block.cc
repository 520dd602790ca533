#include "ioloop/output_block.h"

#include "base/check.h"

namespace greenring::ioloop {

OutputBlockPool::~OutputBlockPool() {
  GREENRING_CHECK(taken_count_ == 0);
  while (OutputBlock* block = free_) {
    free_ = block->next;
    Deallocate(block);
  }
}

OutputBlock* OutputBlockPool::Allocate() {
  ++taken_count_;
  return new OutputBlock;  // without parentheses: the data stays untouched, its pages unmapped until used
}

void OutputBlockPool::Deallocate(OutputBlock* block) { delete block; }

}  // namespace greenring::ioloop
