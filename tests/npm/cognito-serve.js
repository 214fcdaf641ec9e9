// SPDX-License-Identifier: Apache-2.0
// cognito-local as tests want it: on 127.0.0.1 and any port, with keys of its own.
//
//   node cognito-serve.js KEYS PORT     its data lies in .cognito of the current directory
//
// prints {"listening": port} as soon as it serves, and logs to stderr. Removing KEYS and starting
// again is a rotation: cognito-local itself has one constant key pair, lib/keys/*.json, under the
// constant kid "CognitoLocal", which jsonwebtoken and the JWKS route get. Those two are replaced
// here. Like a user pool of Cognito there are two keys with different kids: the one signs access
// tokens, the other ID tokens. Claims, users and the API stay cognito-local's.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");

const theirs = { paths: [require.resolve("cognito-local")] };
const jsonwebtoken = require(require.resolve("jsonwebtoken", theirs));
const pino = require(require.resolve("pino", theirs));

function makeKey() {
  const { privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    kid: crypto.randomBytes(32).toString("base64"), // the shape that Cognito's have
    pem: privateKey.export({ type: "pkcs8", format: "pem" }),
  };
}

function loadKeys(path) {
  if (!fs.existsSync(path)) {
    fs.writeFileSync(path, JSON.stringify({ access: makeKey(), id: makeKey() }), { mode: 0o600 });
  }
  return JSON.parse(fs.readFileSync(path, "utf8"));
}

function publicJwk({ kid, pem }) {
  return { alg: "RS256", use: "sig", kid, ...crypto.createPublicKey(pem).export({ format: "jwk" }) };
}

const [keysPath, port] = process.argv.slice(2);
const keys = loadKeys(keysPath);
const jwks = JSON.stringify({ keys: Object.values(keys).map(publicJwk) });

const sign = jsonwebtoken.sign;
jsonwebtoken.sign = (claims, _constant, options) => {
  const key = claims.token_use === "access" ? keys.access : keys.id;
  return sign(claims, key.pem, { ...options, keyid: key.kid });
};

// `iss` begins with these; they are read when the package is loaded.
process.env.HOST = "127.0.0.1";
process.env.PORT = port;
const { createDefaultServer } = require("cognito-local");

createDefaultServer(pino({ level: "info" }, pino.destination(2))).then(({ application }) => {
  const server = http.createServer((request, answer) => {
    if (request.url.endsWith("/.well-known/jwks.json")) {
      answer.setHeader("content-type", "application/json").end(jwks);
    } else {
      application(request, answer);
    }
  });
  server.listen(Number(port), "127.0.0.1", () =>
    console.log(JSON.stringify({ listening: server.address().port })),
  );
});
