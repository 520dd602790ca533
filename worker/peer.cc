#include "worker/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace greenring::worker {

pyhost::PeerAddress PeerOf(int fd) {
  using Family = pyhost::PeerAddress::Family;
  pyhost::PeerAddress peer;
  sockaddr_storage address;
  socklen_t size = sizeof(address);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return peer;
  if (address.ss_family == AF_INET) {
    const sockaddr_in* ipv4 = reinterpret_cast<const sockaddr_in*>(&address);
    peer.family = Family::kIpv4;
    std::memcpy(peer.ip, &ipv4->sin_addr, sizeof(ipv4->sin_addr));
    peer.port = ntohs(ipv4->sin_port);
  } else if (address.ss_family == AF_INET6) {
    const sockaddr_in6* ipv6 = reinterpret_cast<const sockaddr_in6*>(&address);
    const bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr);
    peer.family = is_ipv4 ? Family::kIpv4 : Family::kIpv6;
    std::memcpy(peer.ip, &ipv6->sin6_addr.s6_addr[is_ipv4 ? 12 : 0], is_ipv4 ? 4 : sizeof(ipv6->sin6_addr));
    peer.port = ntohs(ipv6->sin6_port);
  }
  return peer;
}

}  // namespace greenring::worker
