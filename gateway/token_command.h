// SPDX-License-Identifier: Apache-2.0
// token_command: `tillway token`, which signs a token by a key of the operator's own.
//
// For smoke tests and machines without an identity provider: prints one token, or the key set that
// makes gateways accept it. Not for: serving keys, keeping or making private keys, judging tokens.
// Runs in: the command line only; the one file of this program that may use mint/.

#ifndef TW_TOKEN_COMMAND_H
#define TW_TOKEN_COMMAND_H

// `argv` is the program's own, argv[1] being "token"; its order may change. Returns the exit code:
// 0; 1 when the key cannot be used or nothing can be printed; 2 when it was called wrongly.
int tw_token_command(int argc, char **argv);

#endif
