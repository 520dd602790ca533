#include "pyhost/code_place.h"

#include <dlfcn.h>
#include <elf.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

struct Object {
  uintptr_t begin;  // of a segment of code
  uintptr_t end;
  uintptr_t base;
  std::string path;  // empty: the program
};

std::vector<Object> LoadedCode() {
  std::vector<Object> objects;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
          const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
          static_cast<std::vector<Object>*>(out)->push_back(
              {begin, begin + segment.p_memsz, info->dlpi_addr, info->dlpi_name});
        }
        return 0;
      },
      &objects);
  return objects;
}

const Object* Find(const std::vector<Object>& objects, uintptr_t address) {
  const auto found = std::find_if(objects.begin(), objects.end(), [address](const Object& object) {
    return address >= object.begin && address < object.end;
  });
  return found != objects.end() ? &*found : nullptr;
}

// Whether `address` follows a call instruction of x86-64.
bool IsReturnAddress(const Object& object, uintptr_t address) {
  if (address - object.begin < 7) return false;
  const auto* const end = reinterpret_cast<const unsigned char*>(address);
  const auto is_indirect = [end](int length, int mode) {  // FF /2 with this addressing mode
    return end[-length] == 0xFF && (end[1 - length] & 0xF8) == ((mode << 6) | 0x10);
  };
  return end[-5] == 0xE8 || is_indirect(2, 3) || is_indirect(2, 0) || is_indirect(3, 1) || is_indirect(4, 1) ||
         is_indirect(6, 2) || is_indirect(7, 2) || (end[-6] == 0xFF && end[-5] == 0x15);
}

// The symbol that `address` lies in; empty if it lies in none that the dynamic linker knows.
std::string SymbolAt(uintptr_t address) {
  Dl_info info;
  void* symbol = nullptr;
  if (dladdr1(reinterpret_cast<void*>(address), &info, &symbol, RTLD_DL_SYMENT) == 0 || symbol == nullptr ||
      info.dli_sname == nullptr) {
    return "";
  }
  const size_t size_bytes = static_cast<const ElfW(Sym)*>(symbol)->st_size;
  return address - reinterpret_cast<uintptr_t>(info.dli_saddr) < size_bytes ? info.dli_sname : "";
}

// The C library's parts, in which everybody's waits end.
bool IsCLibrary(const std::string& path) {
  const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
  return name.substr(0, 7) == "libc.so" || name.substr(0, 7) == "libm.so" || name.substr(0, 8) == "ld-linux" ||
         name.substr(0, 10) == "libpthread" || name.substr(0, 10) == "linux-vdso";
}

}  // namespace

CodePlace Locate(const NativeSample& sample) {
  const std::vector<Object> objects = LoadedCode();
  const Object* const interpreter = Find(objects, reinterpret_cast<uintptr_t>(&PyEval_EvalCode));
  const Object* const program = Find(objects, reinterpret_cast<uintptr_t>(&Locate));
  const Object* library = nullptr;
  CodePlace place;
  // From the innermost code outwards: to the first frame of Python code, or out of the library that was found.
  for (size_t i = 0; i <= sample.stack_words.size(); ++i) {
    const uintptr_t address = i == 0 ? sample.program_counter : sample.stack_words[i - 1];
    const Object* const object = Find(objects, address);
    if (object == nullptr || (i > 0 && !IsReturnAddress(*object, address)) || IsCLibrary(object->path)) continue;
    const std::string symbol = SymbolAt(address);
    if (library == nullptr && object != interpreter && object != program) {
      library = object;
      place = {object->path, symbol};
      if (symbol.empty()) place.function = absl::StrFormat("+0x%x", address - object->base);
    } else if (object == library && place.function[0] == '+' && !symbol.empty()) {
      place.function = symbol;  // a function without a name was called by one that has one
    }
    if (library != nullptr && (object != library || place.function[0] != '+')) return place;
    if (object == interpreter && absl::StartsWith(symbol, "_PyEval_EvalFrame")) break;
    if (object == interpreter && library == nullptr && place.function.empty()) place = {"python", symbol};
  }
  if (place.library.empty() && sample.program_counter != 0) place.library = "python";
  return place;
}

std::string SystemCallName(int number) {
  struct Name {
    int number;
    const char* name;
  };
#define NAME(name) \
  { SYS_##name, #name }
  static constexpr Name kNames[] = {
      NAME(read),
      NAME(write),
      NAME(open),
      NAME(openat),
      NAME(close),
      NAME(stat),
      NAME(fstat),
      NAME(lstat),
      NAME(newfstatat),
      NAME(statx),
      NAME(poll),
      NAME(ppoll),
      NAME(select),
      NAME(pselect6),
      NAME(epoll_wait),
      NAME(epoll_pwait),
      NAME(pread64),
      NAME(pwrite64),
      NAME(readv),
      NAME(writev),
      NAME(preadv),
      NAME(pwritev),
      NAME(fsync),
      NAME(fdatasync),
      NAME(sync),
      NAME(msync),
      NAME(fallocate),
      NAME(ftruncate),
      NAME(rename),
      NAME(unlink),
      NAME(unlinkat),
      NAME(mkdir),
      NAME(rmdir),
      NAME(getdents64),
      NAME(ioctl),
      NAME(fcntl),
      NAME(flock),
      NAME(connect),
      NAME(accept),
      NAME(accept4),
      NAME(sendto),
      NAME(recvfrom),
      NAME(sendmsg),
      NAME(recvmsg),
      NAME(sendfile),
      NAME(splice),
      NAME(wait4),
      NAME(waitid),
      NAME(pause),
      NAME(nanosleep),
      NAME(clock_nanosleep),
      NAME(futex),
      NAME(semop),
      NAME(semtimedop),
      NAME(msgrcv),
      NAME(msgsnd),
      NAME(mmap),
      NAME(munmap),
      NAME(madvise),
      NAME(io_getevents),
      NAME(io_uring_enter),
      NAME(rt_sigtimedwait),
      NAME(rt_sigsuspend),
      NAME(execve),
      NAME(vfork),
      NAME(clone),
  };
#undef NAME
  const auto* const found =
      std::find_if(std::begin(kNames), std::end(kNames), [number](const Name& name) { return name.number == number; });
  return found != std::end(kNames) ? found->name : absl::StrCat("system call ", number);
}

}  // namespace greenring::pyhost
