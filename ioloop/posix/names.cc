// Resolving names: on a helper thread (offload.h), because the C library waits for the answers inside itself. What
// needs no answer of anybody, numeric addresses, is done at once.
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>

#include <cctype>
#include <cstddef>
#include <cstdlib>

#include "base/check.h"
#include "ioloop/posix/offload.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

// What no hints mean (getaddrinfo(3)).
constexpr addrinfo kNoHints = {AI_V4MAPPED | AI_ADDRCONFIG, AF_UNSPEC, 0, 0, 0, nullptr, nullptr, nullptr};

bool IsNumeric(const char* service) {
  if (service == nullptr) return true;
  if (*service == '\0') return false;
  for (; *service != '\0'; ++service) {
    if (!std::isdigit(static_cast<unsigned char>(*service))) return false;
  }
  return true;
}

// What gethostbyname and its like return a pointer to: of one green thread, until its next call or its end.
struct HostBuffer {
  static constexpr size_t kFirstBytes = 1024;  // nearly all

  hostent entry{};
  char* data = nullptr;
  size_t size_bytes = 0;

  // False: out of memory.
  bool Grow() {
    const size_t more_bytes = size_bytes == 0 ? kFirstBytes : size_bytes * 2;
    char* const more = static_cast<char*>(std::realloc(data, more_bytes));
    if (more == nullptr) return false;
    data = more;
    size_bytes = more_bytes;
    return true;
  }
};

void DestroyHostBuffer(void* value) {
  HostBuffer* const buffer = static_cast<HostBuffer*>(value);
  std::free(buffer->data);
  delete buffer;
}

HostBuffer* CurrentHostBuffer() {
  // pthread keys are per green thread.
  static const pthread_key_t key = [] {
    pthread_key_t created;
    GREENRING_CHECK(pthread_key_create(&created, &DestroyHostBuffer) == 0);
    return created;
  }();
  HostBuffer* buffer = static_cast<HostBuffer*>(pthread_getspecific(key));
  if (buffer == nullptr) {
    buffer = new HostBuffer;
    pthread_setspecific(key, buffer);
  }
  return buffer;
}

// `lookup(entry, data, size, &result, &error)` with a buffer that is large enough; the C library's results. Parks.
template <typename Lookup>
hostent* LookUp(const Lookup& lookup) {
  HostBuffer* const buffer = CurrentHostBuffer();
  hostent* result = nullptr;
  int error = NETDB_INTERNAL;
  int status = buffer->size_bytes == 0 ? ERANGE : 0;
  do {
    if (status == ERANGE && !buffer->Grow()) {
      errno = ENOMEM;
      break;
    }
    status = lookup(&buffer->entry, buffer->data, buffer->size_bytes, &result, &error);
  } while (status == ERANGE && error == NETDB_INTERNAL);
  if (result == nullptr) h_errno = error;
  return result;
}

}  // namespace

int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** results) {
  if (IsNumeric(service)) {
    addrinfo numeric = hints != nullptr ? *hints : kNoHints;
    const bool only_numeric = node == nullptr || (numeric.ai_flags & AI_NUMERICHOST) != 0;
    numeric.ai_flags |= AI_NUMERICHOST;
    const int before = errno;
    const int result = real::getaddrinfo(node, service, node == nullptr ? hints : &numeric, results);
    if (only_numeric || result != EAI_NONAME) return result;
    errno = before;
  }
  int result;
  Offload([&] { result = real::getaddrinfo(node, service, hints, results); });
  return result;
}

int getnameinfo(const sockaddr* address, socklen_t size, char* host, socklen_t host_size, char* service,
                socklen_t service_size, int flags) {
  const bool host_at_once = host == nullptr || host_size == 0 || (flags & NI_NUMERICHOST) != 0;
  const bool service_at_once = service == nullptr || service_size == 0 || (flags & NI_NUMERICSERV) != 0;
  if (host_at_once && service_at_once) {
    return real::getnameinfo(address, size, host, host_size, service, service_size, flags);
  }
  int result;
  Offload([&] { result = real::getnameinfo(address, size, host, host_size, service, service_size, flags); });
  return result;
}

int gethostbyname_r(const char* name, hostent* entry, char* buffer, size_t size, hostent** result, int* error) {
  int status;
  Offload([&] { status = real::gethostbyname_r(name, entry, buffer, size, result, error); });
  return status;
}

int gethostbyname2_r(const char* name, int family, hostent* entry, char* buffer, size_t size, hostent** result,
                     int* error) {
  int status;
  Offload([&] { status = real::gethostbyname2_r(name, family, entry, buffer, size, result, error); });
  return status;
}

int gethostbyaddr_r(const void* address, socklen_t address_size, int family, hostent* entry, char* buffer, size_t size,
                    hostent** result, int* error) {
  int status;
  Offload([&] { status = real::gethostbyaddr_r(address, address_size, family, entry, buffer, size, result, error); });
  return status;
}

hostent* gethostbyname(const char* name) {
  return LookUp([name](hostent* entry, char* data, size_t size, hostent** result, int* error) {
    return parking::gethostbyname_r(name, entry, data, size, result, error);
  });
}

hostent* gethostbyname2(const char* name, int family) {
  return LookUp([name, family](hostent* entry, char* data, size_t size, hostent** result, int* error) {
    return parking::gethostbyname2_r(name, family, entry, data, size, result, error);
  });
}

hostent* gethostbyaddr(const void* address, socklen_t address_size, int family) {
  return LookUp([=](hostent* entry, char* data, size_t size, hostent** result, int* error) {
    return parking::gethostbyaddr_r(address, address_size, family, entry, data, size, result, error);
  });
}

}  // namespace greenring::posix::parking
