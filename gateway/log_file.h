// SPDX-License-Identifier: Apache-2.0
// log_file: the file that log.file names: opened by the master, handed to workers, never blocking.
//
// Workers get the descriptor, not the path: they may not have the rights to open it. Runs in:
// master and command line.

#ifndef TW_LOG_FILE_H
#define TW_LOG_FILE_H

#include "config/config.h"

// A descriptor to append by, made if it is not there (0640); a FIFO or a terminal will do, too. -1
// with one line in `err`.
TW_MUST_USE int tw_log_file_open(const char *path, char *err, size_t err_size);

// Whether it could be opened; makes nothing. True without log.file.
TW_MUST_USE bool tw_log_file_check(const struct tw_config *config, char *err, size_t err_size);

#endif
