#include "pyhost/gil.h"

#include <dlfcn.h>
#include <link.h>

#include "base/check.h"
#include "pyhost/current_state.h"
#include "pyhost/greenlet_state.h"
#include "pyhost/python.h"
#include "pyhost/recursion.h"

extern "C" char _PyRuntime;  // CPython's, of a type that only its own sources know

namespace greenring::pyhost {
namespace {

size_t live_threads = 0;

// That of the running green thread, whoever holds the GIL; nullptr if it has none.
PyThreadState* StateOf(const green::GreenThread* thread) {
  const Interruptible* const interruptible = Interruptible::Of(thread);
  PyThreadState* const known = interruptible != nullptr ? interruptible->python_state() : nullptr;
  return known != nullptr ? known : PyGILState_GetThisThreadState();
}

}  // namespace

void PythonSwitchHook::OnSwitchIn(green::GreenThread* thread) {
  switch_count_.store(switch_count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  running_handle_.store(thread->handle(), std::memory_order_relaxed);
  if (idle()) SetLoopState(LoopState::kBusy);
  GreenletState::Load();
  auto* state = static_cast<PyThreadState*>(thread->host_data());
  if (state == nullptr) {
    GiveUpGil();
  } else if (gil_held_) {
    gil_held_ = false;
    PyThreadState_Swap(state);
  } else {
    switching_ = true;
    PyEval_RestoreThread(state);
    switching_ = false;
  }
  if (Interruptible* const interruptible = Interruptible::Of(thread)) interruptible->OnSwitchIn();
}

void PythonSwitchHook::OnSwitchOut(green::GreenThread* thread) {
  if (Interruptible* const interruptible = Interruptible::Of(thread)) interruptible->OnSwitchOut();
  running_handle_.store(0, std::memory_order_relaxed);
  GreenletState::Save();
  PyThreadState* const own = StateOf(thread);
  gil_held_ = own != nullptr && own == CurrentState();
  thread->set_host_data(gil_held_ ? own : nullptr);
}

void PythonSwitchHook::OnIdle() {
  GiveUpGil();
  if (loop_state_.load(std::memory_order_relaxed) == LoopState::kBusy) SetLoopState(LoopState::kIdle);
}

bool PythonSwitchHook::OnReserveEntered(green::GreenThread* thread) { return ExhaustRecursion(thread); }

void PythonSwitchHook::OnReserveLeft(green::GreenThread* thread) { RestoreRecursion(thread); }

void PythonSwitchHook::OnAbandoned(green::GreenThread* thread) {
  PyThreadState* const own = PyGILState_GetThisThreadState();
  thread->reserve_note()->state = own;
  if (own == nullptr || own != CurrentState()) return;
  gil_held_ = true;
  GiveUpGil();
}

void PythonSwitchHook::StartWatch() {
  ++watches_;
  SetLoopState(LoopState::kBusy);
}

// Whoever waits for the loop to be busy is woken in any case: it may be the one that ends.
void PythonSwitchHook::EndWatch() { SetLoopState(--watches_ > 0 ? LoopState::kBusy : LoopState::kUnwatched); }

void PythonSwitchHook::SetLoopState(LoopState state) {
  loop_state_.store(state, std::memory_order_seq_cst);
  if (state == LoopState::kIdle || awaiting_busy_.load(std::memory_order_seq_cst) == 0) return;
  awaiting_busy_.store(0, std::memory_order_relaxed);
  awaiting_busy_.notify_all();
}

// Once woken it stays awake, although the loop may be idle again by the time it runs: a loop that waits ten thousand
// times a second does not wake its watchers as often.
void PythonSwitchHook::AwaitBusy() {
  if (!idle()) return;
  awaiting_busy_.store(1, std::memory_order_seq_cst);
  if (loop_state_.load(std::memory_order_seq_cst) == LoopState::kIdle) awaiting_busy_.wait(1);
}

void PythonSwitchHook::GiveUpGil() {
  if (!gil_held_) return;
  gil_held_ = false;
  switching_ = true;
  PyEval_SaveThread();
  switching_ = false;
}

ScopedPythonThread::ScopedPythonThread() : state_(PyThreadState_New(PyInterpreterState_Main())) {
  GREENRING_CHECK(state_ != nullptr && green::GreenThread::Current() != nullptr);
  ++live_threads;
  PyEval_RestoreThread(state_);
  data_stack_.LendTo(state_);
  interruptible_.set_python_state(state_);
}

ScopedPythonThread::~ScopedPythonThread() {
  interruptible_.Reset();
  PyThreadState_Clear(state_);  // may run Python code, and park
  interruptible_.set_python_state(nullptr);
  PyThreadState_DeleteCurrent();
  --live_threads;
}

size_t ScopedPythonThread::live_count() { return live_threads; }

ScopedGilRelease::ScopedGilRelease() : state_(PyEval_SaveThread()) { GreenletState::Save(); }

ScopedGilRelease::~ScopedGilRelease() {
  GreenletState::Load();
  PyEval_RestoreThread(state_);
}

MemoryRange GilMemory() {
  // The size of _PyRuntime is told by no header, but by the symbol that the dynamic linker knows.
  Dl_info info;
  void* symbol = nullptr;
  GREENRING_CHECK(dladdr1(&_PyRuntime, &info, &symbol, RTLD_DL_SYMENT) != 0 && symbol != nullptr);
  return {&_PyRuntime, static_cast<const ElfW(Sym)*>(symbol)->st_size};
}

}  // namespace greenring::pyhost
