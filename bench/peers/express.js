// SPDX-License-Identifier: Apache-2.0
// Express as it is usually written: jsonwebtoken checks every token, express-rate-limit, pg with a pool.
import { createPublicKey } from "node:crypto";
import express from "express";
import { rateLimit } from "express-rate-limit";
import jwt from "jsonwebtoken";
import { fetchKeys, isCashier, issuer, pool, product, productSql, rate, saleSql, saleValues } from "./common.js";

const db = pool();
const keys = Object.fromEntries(Object.entries(await fetchKeys()).map(
  ([kid, key]) => [kid, createPublicKey({ key, format: "jwk" })]));

function authenticate(req, res, next) {
  jwt.verify(req.headers.authorization?.slice("Bearer ".length) ?? "",
    (header, done) => done(null, keys[header.kid]), { algorithms: ["RS256"], issuer },
    (error, claims) => {
      if (error) return res.status(401).json({ code: "token-invalid" });
      if (!isCashier(claims)) return res.status(403).json({ code: "forbidden" });
      req.user = claims;
      next();
    });
}

const app = express();
app.disable("x-powered-by");
app.use(rateLimit({ windowMs: rate.windowMs, limit: rate.max }));
app.use(authenticate);

app.get("/v1/products/:id", async (req, res) => {
  const { rows } = await db.query({ name: "product", text: productSql, values: [req.params.id] });
  if (rows.length === 0) return res.status(404).json({ code: "not-found" });
  res.json(product(rows[0]));
});

app.post("/v1/transactions", express.json(), async (req, res) => {
  await db.query({ name: "sale", text: saleSql, values: saleValues(req.body, req.user.sub) });
  res.status(201).json({ ok: true });
});

const server = app.listen(Number(process.env.BENCH_PORT ?? 0), "127.0.0.1", () =>
  console.log(`port ${server.address().port}`));
