// A worker as worker_process_test.cc wants it: no Python, and it does what the messages tell it to misbehave.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "greenring/worker/v1/link.pb.h"
#include "protocol/frame.h"

namespace {

using greenring::protocol::FrameDecoder;
using greenring::worker::v1::FromWorker;
using greenring::worker::v1::ToWorker;

constexpr int kLinkFd = 3;

void SendBytes(const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t size = write(kLinkFd, bytes.data() + sent, bytes.size() - sent);
    if (size <= 0) _exit(97);
    sent += static_cast<size_t>(size);
  }
}

void Say(const FromWorker& message) {
  std::string frame;
  greenring::protocol::AppendFrame(&frame, [&](std::string* out) { return message.AppendToString(out); });
  SendBytes(frame);
}

// "0 1 2 3": the open descriptors.
std::string OpenDescriptors() {
  std::vector<int> numbers;
  DIR* const directory = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(directory)) {
    if (const int fd = std::atoi(entry->d_name); entry->d_name[0] != '.' && fd != dirfd(directory))
      numbers.push_back(fd);
  }
  closedir(directory);
  std::sort(numbers.begin(), numbers.end());
  std::string text;
  for (const int number : numbers) text += (text.empty() ? "" : " ") + std::to_string(number);
  return text;
}

std::string SignalsNotDefault() {
  std::string text;
  for (int number = 1; number < SIGRTMAX; ++number) {
    struct sigaction action = {};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_DFL) text += std::to_string(number) + " ";
  }
  sigset_t blocked;
  sigprocmask(SIG_BLOCK, nullptr, &blocked);
  for (int number = 1; number < SIGRTMAX; ++number) {
    if (sigismember(&blocked, number)) text += "blocked:" + std::to_string(number) + " ";
  }
  return text;
}

std::string Cpus() {
  cpu_set_t set;
  sched_getaffinity(0, sizeof(set), &set);
  std::string text;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) text += (text.empty() ? "" : ",") + std::to_string(cpu);
  }
  return text;
}

// A process that does nothing, with the same descriptors, the link's among them.
std::string Fork() {
  const pid_t pid = fork();
  while (pid == 0) pause();
  return std::to_string(pid);
}

// By name, what the test asks for.
std::string Tell(const std::string& what, char** argv, int descriptors_received) {
  if (what == "descriptors") return OpenDescriptors();
  if (what == "received") return std::to_string(descriptors_received);
  if (what == "signals") return SignalsNotDefault();
  if (what == "group") return getpgrp() == getpid() ? "own" : "shared";
  if (what == "cpus") return Cpus();
  if (what == "title") return argv[0];
  if (what == "child") return Fork();
  const char* const value = std::getenv(what.c_str());
  return value != nullptr ? value : "";
}

void Obey(const ToWorker& message, char** argv, int descriptors_received) {
  FromWorker answer;
  answer.set_answer_to(message.id());
  if (message.has_drain()) {
    FromWorker last;
    last.mutable_report()->mutable_statistics()->set_requests(42);
    Say(last);
    _exit(0);
  } else if (message.has_dump()) {
    std::fprintf(stderr, "about to crash\nwith a last line");
    std::fflush(stderr);
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
  } else if (message.has_cancel_request()) {
    const std::string reason = message.cancel_request().reason();
    if (reason == "say nonsense") return SendBytes("\xff\xff\xff\xff");
    if (reason == "answer somebody else") {
      answer.set_answer_to(4711);
      answer.mutable_cancelled();
      Say(answer);
      answer.set_answer_to(message.id());
    }
    if (reason.rfind("unfit ", 0) == 0) {
      FromWorker unfit;
      unfit.mutable_unfit()->set_reason(reason.substr(6));
      unfit.mutable_unfit()->set_draining(true);
      Say(unfit);
      _exit(3);
    }
    answer.mutable_cancelled();
    Say(answer);
  } else if (message.has_list_requests()) {
    // A long answer, so that it comes in pieces.
    for (int i = 0; i < message.list_requests().count_max(); ++i) {
      answer.mutable_request_list()->add_requests()->set_target(std::string(1000, 'x'));
    }
    Say(answer);
  } else if (message.has_stop_accepting()) {
    answer.mutable_refused()->set_message(Tell(message.stop_accepting().addresses(0), argv, descriptors_received));
    Say(answer);
  }  // GetStack: no answer
}

}  // namespace

int main(int, char** argv) {
  FrameDecoder decoder;
  int descriptors_received = 0;
  for (;;) {
    char buffer[65536];
    alignas(cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))];
    iovec vector = {buffer, sizeof(buffer)};
    msghdr header = {};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    const ssize_t size = recvmsg(kLinkFd, &header, 0);
    if (size <= 0) _exit(98);
    if (const cmsghdr* rights = CMSG_FIRSTHDR(&header)) {
      descriptors_received += static_cast<int>((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    }
    decoder.Append({buffer, static_cast<size_t>(size)});
    std::string_view payload;
    while (decoder.Next(&payload) == FrameDecoder::Result::kFrame) {
      ToWorker message;
      if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) _exit(99);
      if (!message.has_start()) {
        Obey(message, argv, descriptors_received);
        continue;
      }
      FromWorker ready;
      ready.mutable_ready()->set_description(message.start().pool().application().target());
      Say(ready);
    }
  }
}
