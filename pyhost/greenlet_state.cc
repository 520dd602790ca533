#include "pyhost/greenlet_state.h"

#include <link.h>
#include <pthread.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "green/scheduler.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

// The module's thread-local storage as a new thread finds it, and how many destructors it may register.
struct Block {
  const std::byte* address = nullptr;
  const std::byte* initial = nullptr;
  size_t initial_size = 0;
  size_t size = 0;
};
constexpr size_t kDestructorsMax = 4;

constinit Block block;
constinit pthread_key_t saved_key = 0;

struct Destructor {
  void (*function)(void*);
  void* object;
};

// The block of a thread that is not running. Value of `saved_key`, which is per green thread.
struct Saved {
  size_t destructor_count = 0;
  Destructor destructors[kDestructorsMax];
  std::byte content[];
};

void CopyInitial(std::byte* to) {
  std::memcpy(to, block.initial, block.initial_size);
  std::memset(to + block.initial_size, 0, block.size - block.initial_size);
}

Saved* SavedOfThisThread() {
  auto* saved = static_cast<Saved*>(pthread_getspecific(saved_key));
  if (saved != nullptr) return saved;
  saved = new (std::malloc(sizeof(Saved) + block.size)) Saved;
  CopyInitial(saved->content);
  pthread_setspecific(saved_key, saved);
  return saved;
}

// At the end of a green thread, on it: its block is the one in place.
void EndThread(void* value) {
  auto* saved = static_cast<Saved*>(value);
  while (saved->destructor_count > 0) {
    const Destructor& last = saved->destructors[--saved->destructor_count];
    last.function(last.object);
  }
  std::free(saved);
}

int FindGreenlet(dl_phdr_info* info, size_t, void*) {
  if (std::string_view(info->dlpi_name).find("/_greenlet.") == std::string_view::npos) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_TLS) continue;
    block.address = static_cast<const std::byte*>(info->dlpi_tls_data);
    block.initial = reinterpret_cast<const std::byte*>(info->dlpi_addr + segment.p_vaddr);
    block.initial_size = segment.p_filesz;
    block.size = segment.p_memsz;
  }
  return 1;
}

}  // namespace

void GreenletState::Watch() {
  // Called for everything that CPython audits (PEP 578), so it looks at one letter first.
  GREENRING_CHECK(PySys_AddAuditHook(&OnAudit, nullptr) == 0);
}

int GreenletState::OnAudit(const char* event, PyObject* arguments, void*) {
  if (imported_ || event[0] != 'i' || std::strcmp(event, "import") != 0) return 0;
  PyObject* name = PyTuple_GET_ITEM(arguments, 0);
  imported_ = PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "greenlet._greenlet") == 0;
  return 0;
}

bool GreenletState::FindBlock() {
  dl_iterate_phdr(&FindGreenlet, nullptr);
  if (block.address == nullptr) return false;  // not loaded yet, or nobody here has used it
  GREENRING_CHECK(pthread_key_create(&saved_key, &EndThread) == 0);
  block_ = const_cast<std::byte*>(block.address);
  return true;
}

void GreenletState::SaveBlock() {
  if (block_ == nullptr && !FindBlock()) return;
  const green::GreenThread* thread = green::GreenThread::Current();
  if (thread != nullptr && thread->state() == green::GreenThread::State::kFree) return;  // ended
  std::memcpy(SavedOfThisThread()->content, block_, block.size);
}

void GreenletState::LoadBlock() {
  const auto* saved = static_cast<const Saved*>(pthread_getspecific(saved_key));
  if (saved != nullptr) {
    std::memcpy(block_, saved->content, block.size);
  } else {
    CopyInitial(block_);
  }
}

}  // namespace greenring::pyhost

extern "C" int __cxa_thread_atexit_impl(void (*function)(void*), void* object, void* dso) noexcept;

// The Itanium C++ ABI's: registers the destructor of a thread_local object.
extern "C" __attribute__((visibility("default"))) int __cxa_thread_atexit(void (*function)(void*), void* object,
                                                                          void* dso) noexcept {
  using greenring::pyhost::block;
  const auto* address = static_cast<const std::byte*>(object);
  const greenring::green::GreenThread* thread = greenring::green::GreenThread::Current();
  const bool ours = block.address != nullptr && address >= block.address && address < block.address + block.size;
  if (!ours || thread == nullptr || thread->is_os_thread()) return __cxa_thread_atexit_impl(function, object, dso);
  greenring::pyhost::Saved* saved = greenring::pyhost::SavedOfThisThread();
  if (saved->destructor_count == greenring::pyhost::kDestructorsMax) return -1;
  saved->destructors[saved->destructor_count++] = {function, object};
  return 0;
}
