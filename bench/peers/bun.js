// SPDX-License-Identifier: Apache-2.0
// Bun with its own HTTP server and its own PostgreSQL client, jose for tokens, and a map of tokens that were
// verified, without which the check alone would be most of a request. It has no limits.
import { SQL } from "bun";
import { createLocalJWKSet, jwtVerify } from "jose";
import { database, fetchKeys, isCashier, issuer, poolSize, product, productSql } from "./common.js";

const TOKENS_MAX = 65536;
const db = new SQL(database, { max: poolSize });
const keys = createLocalJWKSet({ keys: Object.values(await fetchKeys()) });
const verified = new Map();

async function claimsOf(header) {
  const token = header?.slice("Bearer ".length) ?? "";
  let claims = verified.get(token);
  if (claims === undefined) {
    claims = (await jwtVerify(token, keys, { issuer, algorithms: ["RS256"] })).payload;
    if (verified.size < TOKENS_MAX) verified.set(token, claims);
  }
  if (claims.exp < Date.now() / 1000) throw new Error("expired");
  return claims;
}

const server = Bun.serve({
  port: Number(process.env.BENCH_PORT ?? 0),
  hostname: "127.0.0.1",
  routes: {
    "/v1/products/:id": {
      async GET(req) {
        let claims;
        try {
          claims = await claimsOf(req.headers.get("authorization"));
        } catch {
          return Response.json({ code: "token-invalid" }, { status: 401 });
        }
        if (!isCashier(claims)) return Response.json({ code: "forbidden" }, { status: 403 });
        const rows = await db.unsafe(productSql, [req.params.id]); // prepared, as it has parameters
        if (rows.length === 0) return Response.json({ code: "not-found" }, { status: 404 });
        return Response.json(product(rows[0]));
      },
    },
  },
});
console.log(`port ${server.port}`);
