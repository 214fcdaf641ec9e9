// SPDX-License-Identifier: Apache-2.0
// version: what `tillway version` and the metrics say; the build may set it.

#ifndef TW_VERSION_H
#define TW_VERSION_H

#ifndef TW_VERSION
#define TW_VERSION "0.1.0"
#endif

#endif
