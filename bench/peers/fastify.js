// SPDX-License-Identifier: Apache-2.0
// Fastify with its usual fast parts: fast-jwt with its cache of verified tokens, @fastify/rate-limit, pg with
// prepared statements and a pool, and a schema of the answer so that it is serialised by compiled code.
import { createPublicKey } from "node:crypto";
import rateLimit from "@fastify/rate-limit";
import { createVerifier } from "fast-jwt";
import Fastify from "fastify";
import { fetchKeys, isCashier, issuer, pool, product, productSql, rate, saleSql, saleValues } from "./common.js";

const text = { type: ["string", "null"] };
const productSchema = {
  type: "object",
  properties: {
    productId: { type: "string" }, name: { type: "string" }, price: { type: "number" }, description: text,
    category: text, image: text, sku: text, barcode: text, taxRate: { type: "number" },
    createdAt: { type: "string" }, updatedAt: { type: "string" }, version: { type: "integer" },
  },
};

const db = pool();
const keys = await fetchKeys();
const verify = createVerifier({
  key: async ({ header }) => createPublicKey({ key: keys[header.kid], format: "jwk" })
    .export({ type: "spki", format: "pem" }),
  algorithms: ["RS256"], allowedIss: issuer, cache: 65536,
});

const app = Fastify({ logger: false });
await app.register(rateLimit, { max: rate.max, timeWindow: rate.windowMs });
app.addHook("onRequest", async (req, reply) => {
  try {
    req.user = await verify(req.headers.authorization?.slice("Bearer ".length) ?? "");
  } catch {
    return reply.code(401).send({ code: "token-invalid" });
  }
  if (!isCashier(req.user)) return reply.code(403).send({ code: "forbidden" });
});

app.get("/v1/products/:id", { schema: { response: { 200: productSchema } } }, async (req, reply) => {
  const { rows } = await db.query({ name: "product", text: productSql, values: [req.params.id] });
  if (rows.length === 0) return reply.code(404).send({ code: "not-found" });
  return product(rows[0]);
});

app.post("/v1/transactions", async (req, reply) => {
  await db.query({ name: "sale", text: saleSql, values: saleValues(req.body, req.user.sub) });
  return reply.code(201).send({ ok: true });
});

await app.listen({ port: Number(process.env.BENCH_PORT ?? 0), host: "127.0.0.1" });
console.log(`port ${app.server.address().port}`);
