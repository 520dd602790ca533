#include "ioloop/posix/parking.h"
