#include "base/fd_name.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace greenring {
namespace {

using GetAddress = int (*)(int fd, sockaddr* address, socklen_t* size);

std::string UnixName(const sockaddr_un& address, socklen_t size) {
  constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);
  if (size <= kPathOffset) return "";
  std::string path(address.sun_path, size - kPathOffset);
  if (path.front() == '\0') {
    path.front() = '@';  // the abstract name space, as ss(8) shows it
  } else {
    path.resize(std::strlen(path.c_str()));
  }
  std::replace(path.begin(), path.end(), '\0', '@');
  return path;
}

// One end of a socket; empty: it has none.
std::string EndName(int fd, GetAddress get) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (get(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto* ip = reinterpret_cast<const sockaddr_in*>(&address);
    inet_ntop(AF_INET, &ip->sin_addr, text, sizeof(text));
    return std::string(text) + ":" + std::to_string(ntohs(ip->sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto* ip = reinterpret_cast<const sockaddr_in6*>(&address);
    inet_ntop(AF_INET6, &ip->sin6_addr, text, sizeof(text));
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(ip->sin6_port));
  }
  if (address.ss_family == AF_UNIX) return UnixName(reinterpret_cast<const sockaddr_un&>(address), size);
  return "";
}

int Option(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

std::string SocketName(int fd) {
  const int domain = Option(fd, SO_DOMAIN);
  const bool is_stream = Option(fd, SO_TYPE) == SOCK_STREAM;
  std::string name = domain == AF_UNIX ? "unix" : is_stream ? "tcp" : "udp";
  if (domain != AF_UNIX && domain != AF_INET && domain != AF_INET6) return "socket";
  const std::string here = EndName(fd, &getsockname);
  const std::string there = EndName(fd, &getpeername);
  if (!here.empty()) name += " " + here;
  if (!there.empty()) name += " > " + there;
  if (Option(fd, SO_ACCEPTCONN) == 1) name += " (listening)";
  return name;
}

std::string SocketPeerName(int fd) {
  const std::string there = EndName(fd, &getpeername);
  if (Option(fd, SO_DOMAIN) != AF_UNIX) return there.empty() ? SocketName(fd) : there;
  return there.empty() ? "unix" : "unix:" + there;
}

}  // namespace

std::string PeerName(int fd) {
  struct stat file;
  if (fstat(fd, &file) == 0) {
    if (S_ISSOCK(file.st_mode)) return SocketPeerName(fd);
    if (S_ISFIFO(file.st_mode)) return "pipe";
  }
  return FdName(fd);
}

std::string FdName(int fd) {
  char target[256];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = readlink(link.c_str(), target, sizeof(target));
  if (length < 0) return "closed";
  std::string name(target, static_cast<size_t>(length));
  if (name.rfind("socket:", 0) == 0) return SocketName(fd);
  constexpr const char* kAnonymous = "anon_inode:";
  if (name.rfind(kAnonymous, 0) != 0) return name;
  name.erase(0, std::strlen(kAnonymous));  // "[eventfd]"
  if (name.size() > 2 && name.front() == '[') name = name.substr(1, name.size() - 2);
  return name;
}

}  // namespace greenring
