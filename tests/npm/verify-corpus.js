// SPDX-License-Identifier: Apache-2.0
// What Amazon's own verifier (aws-jwt-verify) says of a corpus of tokens.
//
//   node verify-corpus.js MANIFEST
//
// MANIFEST is JSON: {"verifiers": {NAME: {"kind": "cognito" or "jwt", "jwks": {"keys": […]},
// "options": what create() takes}}, "tokens": [{"name", "verifier", "token", "times": [seconds]}]}.
// A token is judged once for every time it may have been judged at by others; without times, now.
// Prints one JSON object: {NAME: [null when accepted, else the error's name and message]}.
// Nothing is fetched: the key sets stand in the manifest, and verifySync knows no network.
"use strict";

const { readFileSync } = require("fs");
const { CognitoJwtVerifier, JwtVerifier } = require("aws-jwt-verify");

const kinds = { cognito: CognitoJwtVerifier, jwt: JwtVerifier };
const now = Date.now;

const manifest = JSON.parse(readFileSync(process.argv[2], "utf8"));

const verifiers = {};
for (const [name, { kind, jwks, options }] of Object.entries(manifest.verifiers)) {
  verifiers[name] = kinds[kind].create(options);
  verifiers[name].cacheJwks(jwks);
}

function judge(verifier, token, time) {
  Date.now = time === undefined ? now : () => time * 1000;
  try {
    verifier.verifySync(token);
    return null;
  } catch (error) {
    return `${error.name}: ${error.message}`.slice(0, 200);
  } finally {
    Date.now = now;
  }
}

const verdicts = {};
for (const { name, verifier, token, times } of manifest.tokens) {
  verdicts[name] = (times ?? [undefined]).map((time) => judge(verifiers[verifier], token, time));
}
process.stdout.write(JSON.stringify(verdicts));
