"""Green threads in gdb, of a running server or of its core file.

    gdb -p $(pgrep -x server) -x tools/gdb/greenring.py
    gdb bazel-bin/server core -x tools/gdb/greenring.py

    (gdb) greenring threads                 all green threads: state, what they are parked in, since when
    (gdb) greenring stack 17                the native stack of one
    (gdb) greenring stack all
    (gdb) greenring apply 17 py-bt          any command, with that stack's frames

Needs the server unstripped, as it is built, and the scheduler's types, which its target carries (-g2). Nothing of the
process is changed: where a green thread left off is told to gdb by an unwinder, so core files will do.

Times are as of the last switch. gdb's own gcore cannot read beside the guard pages of stacks (Linux 6.13 and later) and
leaves stacks out: `kill -ABRT` makes the kernel write the core file.
"""

import gdb
import gdb.unwinder

_STATES = {0: "ended", 1: "runnable", 2: "running", 3: "parked", 4: "abandoned"}
_NO_DEADLINE = (1 << 63) - 1
_SUSPENDED_BY_STACK_POINTER = 2


def _scheduler():
    pointer = gdb.parse_and_eval("greenring_scheduler")
    if int(pointer) == 0:
        raise gdb.GdbError("no scheduler has run in this process")
    return pointer.dereference()


def _ns_per_tick():
    return float(gdb.parse_and_eval("*(double*)&_ZN9greenring5Ticks12ns_per_tick_E"))  # greenring::Ticks::ns_per_tick_


def _text(pointer):
    return pointer.string() if int(pointer) != 0 else ""


class _Thread:
    """A green thread that has not ended."""

    def __init__(self, scheduler, block):
        self._scheduler = scheduler
        self._block = block
        self.id = int(block["id_"])
        self.name = _text(block["name_"])
        self.state = _STATES.get(int(block["state_"]), "unknown")
        note = block["wait_note_"]
        self.call = _text(note["call"])
        self.fd = int(note["fd"])
        self.object = int(note["object"])
        self._since_ticks = int(note["since_ticks"]) if self.state == "parked" else 0
        self._since_ticks = self._since_ticks or int(block["since_ticks_"])

    def seconds(self):
        """How long it has been in its state, up to the last switch of anybody."""
        ticks = max(0, int(self._scheduler["switched_at_ticks_"]) - self._since_ticks)
        return ticks * _ns_per_tick() / 1e9

    def describe(self):
        parts = [f'{self.id:>6} {self.name:<10} {self.state:<8} {self.seconds():>10.3f} s']
        if self.state == "parked":
            parts.append(f"in {self.call or 'a wait without a name'}")
            if self.fd >= 0:
                parts.append(f"fd {self.fd}")
            if self.object:
                parts.append(f"at {self.object:#x}")
        return "  ".join(parts)

    def registers(self):
        """Where it goes on: by name. What only its callers use is on its stack."""
        context = self._block["context_"]
        architecture = gdb.selected_inferior().architecture().name()
        if "x86-64" not in architecture:
            raise gdb.GdbError(f"the stacks of green threads are known on x86-64 only, not on {architecture}")
        if int(context["suspension_"]) != _SUSPENDED_BY_STACK_POINTER:
            frame, address, stack = (int(context["registers_"][index]) for index in range(3))
            return {"rbp": frame, "rip": address, "rsp": stack}
        # What Boost.Context's jump_fcontext has pushed, lowest first: control words, a place for the stack protector,
        # and these.
        top = int(context["stack_pointer_"])
        words = gdb.selected_inferior().read_memory(top, 0x48).tobytes()
        order = {0x10: "r12", 0x18: "r13", 0x20: "r14", 0x28: "r15", 0x30: "rbx", 0x38: "rbp", 0x40: "rip"}
        found = {name: int.from_bytes(words[offset:offset + 8], "little") for offset, name in order.items()}
        return {**found, "rsp": top + 0x48}


def _threads():
    scheduler = _scheduler()
    found = []
    block = scheduler["ever_"]
    while int(block) != 0:
        thread = _Thread(scheduler, block.dereference())
        if thread.state != "ended":
            found.append(thread)
        block = block["next_ever_"]
    return sorted(found, key=lambda thread: thread.id)


class _FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class _Detour(gdb.unwinder.Unwinder):
    """While enabled, the frame below the innermost is the one where a green thread left off."""

    def __init__(self):
        super().__init__("greenring")
        self.enabled = False
        self._registers = None

    def __call__(self, pending):
        if self._registers is None or pending.level() != 0:
            return None
        pc = pending.read_register("rip")
        # gdb takes frames that do not lie one above the other for a corrupt stack.
        sp = gdb.Value(self._registers["rsp"] - 16).cast(pending.read_register("rsp").type)
        info = pending.create_unwind_info(_FrameId(sp, pc))
        for name, value in self._registers.items():
            info.add_saved_register(name, gdb.Value(value).cast(pending.read_register(name).type))
        return info

    def run(self, registers, action):
        """Calls `action` with the green thread's frames: the second innermost is its first."""
        self._registers = registers
        self.enabled = True
        gdb.invalidate_cached_frames()
        try:
            frame = gdb.newest_frame().older()
            if frame is None or not frame.is_valid():
                raise gdb.GdbError("gdb does not find the frames")
            frame.select()
            action(frame)
        finally:
            self._registers = None
            self.enabled = False
            gdb.invalidate_cached_frames()


_detour = _Detour()
gdb.unwinder.register_unwinder(None, _detour, replace=True)


def _print_frames(frame):
    number = 0
    while frame is not None and frame.is_valid():
        place = frame.find_sal()
        where = f" at {place.symtab.filename}:{place.line}" if place.symtab is not None else ""
        name = frame.name() or gdb.solib_name(frame.pc()) or "?"
        print(f"  #{number:<2} {frame.pc():#018x} in {name}{where}")
        number += 1
        frame = frame.older()


def _chosen(text):
    threads = _threads()
    if text == "all":
        return threads
    chosen = [thread for thread in threads if str(thread.id) == text]
    if not chosen:
        raise gdb.GdbError(f"there is no green thread {text}; `greenring threads` lists them")
    return chosen


def _with_frames(thread, action):
    if thread.state == "running":  # its registers are the OS thread's
        gdb.newest_frame().select()
        action(gdb.newest_frame())
    else:
        _detour.run(thread.registers(), action)


class Greenring(gdb.Command):
    """Green threads: threads, stack ID|all, apply ID COMMAND."""

    def __init__(self):
        super().__init__("greenring", gdb.COMMAND_STACK, prefix=True)


class Threads(gdb.Command):
    """All green threads: id, name, state, since when, and what they are parked in."""

    def __init__(self):
        super().__init__("greenring threads", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        for thread in _threads():
            print(thread.describe())


class Stack(gdb.Command):
    """The native stack of the green thread with this id, or of all."""

    def __init__(self):
        super().__init__("greenring stack", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("usage: greenring stack ID, or greenring stack all")
        for thread in _chosen(argument.strip()):
            print(thread.describe())
            _with_frames(thread, _print_frames)


class Apply(gdb.Command):
    """A command with the frames of the green thread with this id: greenring apply ID COMMAND."""

    def __init__(self):
        super().__init__("greenring apply", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        number, _, command = argument.strip().partition(" ")
        if not command:
            raise gdb.GdbError("usage: greenring apply ID COMMAND")
        for thread in _chosen(number):
            print(thread.describe())
            _with_frames(thread, lambda frame: gdb.execute(command))


Greenring()
Threads()
Stack()
Apply()
