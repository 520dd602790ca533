// Everything at once, at random: functions that start others, channels, selects and wait groups, under timeouts and
// cancellations. What must hold however it goes: every value that was sent is received exactly once or still in its
// channel, no wait outlives the end, nobody stands in a line, and a handle tells what happened.
//
// One seed a run; a failure prints it. To replay, or to try others:
//   bazel run //pyhost/module:stress_test -- --seed=N [--seeds=COUNT]
#include <cstdlib>
#include <cstring>
#include <string>

#include "pyhost/module/module_fixture.h"

namespace greenring::pyhost {
namespace {

int first_seed = 1;
int seed_count = 200;

class StressTest : public ModuleTest {};

constexpr char kWorld[] = R"(
import collections, random
from greenring import *

happened = collections.Counter()

class World:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.channels = [Channel(i % 3) for i in range(4)]
        self.sent, self.received = collections.Counter(), collections.Counter()
        self.running, self.ended = [], collections.Counter()
        self.group = WaitGroup()

    def timeout(self):
        return self.random.choice((None, 0, 0.001, 0.002))

    # Each of these may be interrupted anywhere it waits; what has happened by then counts.

    def send(self):
        value, channel = object(), self.random.choice(self.channels)
        try:
            channel.send(value, timeout=self.timeout())
            self.sent[value] += 1
        except TimeoutError:
            pass

    def recv(self):
        try:
            self.received[self.random.choice(self.channels).recv(timeout=self.timeout())] += 1
        except TimeoutError:
            pass

    def select(self):
        value = object()
        sending = self.random.choice(self.channels).on_send(value)
        what, got = select(self.random.choice(self.channels), sending, timeout=self.timeout(), default=None)
        if what is sending:
            self.sent[value] += 1
        elif what is not None:
            self.received[got] += 1

    def start(self):
        self.running.append(self.group.go(self.live, self.random.randrange(5)))

    def cancel(self):
        if self.running:
            self.running.pop(self.random.randrange(len(self.running))).cancel()

    def join(self):
        handle = self.random.choice(self.running) if self.running else None
        if handle is not None and handle.id != current().id:
            handle.join(timeout=self.random.choice((0, 0.001)))

    def pause(self):
        self.random.choice((yield_, lambda: sleep(0.001), lambda: sleep(0)))()

    def live(self, steps):
        steps_of_life = (self.send, self.recv, self.send, self.recv, self.select, self.start, self.cancel, self.join,
                         self.pause)
        try:
            for _ in range(steps):
                self.random.choice(steps_of_life)()
        except Cancelled:
            self.ended['cancelled'] += 1
            if self.random.random() < 0.5:
                self.pause()  # clean-up may wait
            raise
        self.ended['done'] += 1

def run(seed):
    world = World(seed)
    for _ in range(8):
        world.running.append(world.group.go(world.live, 60))
    # Some now wait for what nobody will do any more: they are cancelled until all have ended.
    while not world.group.wait(timeout=1):
        for handle in list(world.running):
            handle.cancel()
    for channel in world.channels:
        assert channel.balance == 0, (seed, channel)
        channel.close()
        world.received.update(channel)
    assert world.sent == world.received, (seed, len(world.sent - world.received), len(world.received - world.sent))
    assert set(world.received.values()) <= {1}, seed
    happened['values'] += len(world.sent)
    happened.update(world.ended)
)";

TEST_F(StressTest, NothingIsLostHoweverItGoes) {
  Execute(kWorld);
  for (int seed = first_seed; seed < first_seed + seed_count && !HasFailure(); ++seed) {
    Run("run(" + std::to_string(seed) + ")\n");
    if (HasFailure()) std::printf("replay with --seed=%d --seeds=1\n", seed);
  }
  Execute("assert min(happened[what] for what in ('values', 'done', 'cancelled')) > 0, happened\n");
}

}  // namespace
}  // namespace greenring::pyhost

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--seed=", 7) == 0) greenring::pyhost::first_seed = std::atoi(argv[i] + 7);
    if (std::strncmp(argv[i], "--seeds=", 8) == 0) greenring::pyhost::seed_count = std::atoi(argv[i] + 8);
  }
  return RUN_ALL_TESTS();
}
