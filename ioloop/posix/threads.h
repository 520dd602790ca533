#pragma once
namespace greenring::posix {
inline void CaptureStart() {}
inline void* (*CapturedStart())(void*) { return nullptr; }
inline void SetGreenStarts(void* (*)(void*)) {}
}
