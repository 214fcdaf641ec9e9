// SPDX-License-Identifier: Apache-2.0
// h2o_include: the only place that includes h2o, with the definitions its Debian build expects.
// Worker side only; no file that includes this may include libevent.

#ifndef TW_H2O_INCLUDE_H
#define TW_H2O_INCLUDE_H

#define H2O_USE_LIBUV 0
#define H2O_USE_EPOLL 1
#pragma GCC system_header
#include <h2o.h>
#include <h2o/http2.h>
#include <h2o/http2_internal.h>

#endif
