// All green threads and what each is in the middle of, as text for people: what SIGUSR1 writes to the error log.
//
//   green thread 17 "core": parked 2.310 s in recv, fd 12 (tcp 127.0.0.1:40312 > 127.0.0.1:5432), for 27.690 s more
//     GET /cart, for 2.402 s
//     ran 0.004 s in 9 switches, stack 24 of 256 KiB
//     File "shop.py", line 12, in checkout
//     File "db.py", line 40, in query
//
// docs/DEBUGGING.md explains it line by line. Deadlocks come first, idle cores are counted only; among many, those in
// the same place share one block.
//
// Texts end without a newline. On a green thread, GIL held, but where a function says otherwise. Never parks; 10,000
// green threads take some tens of milliseconds.
#pragma once

#include <cstddef>
#include <string>

#include "green/lock_cycles.h"
#include "green/lock_holders.h"
#include "green/scheduler.h"
#include "green/wait_note.h"

namespace greenring::pyhost {

// Every green thread, and the other threads that run Python code.
std::string DumpThreads(const green::Scheduler& scheduler);

// The same without Python stacks and requests, for when the scheduler's OS thread does not answer: on any OS thread,
// without the GIL. What changes meanwhile may be told half before and half after.
std::string DumpThreadsFromOutside(const green::Scheduler& scheduler);

// The members of a probable deadlock: who waits for what, which is held by whom.
std::string DescribeLockCycle(const green::LockCycle& cycle);

// The request that `thread` serves, "GET /cart"; empty: none.
std::string RequestOf(const green::GreenThread& thread);

// What a parked green thread waits for: `recv, fd 12 (tcp ...)`, `sem_wait, lock 0x55d0 held by green thread 9`.
std::string DescribeWait(const green::WaitNote& wait, green::LockHolders::Holder holder);

// No dump is longer; the rest is counted.
inline constexpr size_t kDumpBytesMax = size_t{4} << 20;

// From so many green threads on, those in the same place share a block.
inline constexpr size_t kSeparateBlocksMax = 100;

}  // namespace greenring::pyhost
