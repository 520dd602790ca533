// CPython's API. Include this instead of Python.h, before anything else: Python.h sets feature macros of the C library.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
