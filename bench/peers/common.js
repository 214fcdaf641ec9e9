// SPDX-License-Identifier: Apache-2.0
// What the peers share: the settings that the benchmark gives them by environment, the statements, and a
// product as the API shows it. One process, no access log, no metrics: both would slow them.
//
//   BENCH_DATABASE   URL of PostgreSQL        BENCH_ISSUER, BENCH_AUDIENCE   whose tokens
//   BENCH_PRODUCT_SQL  bench/product.sql            BENCH_JWKS   URL of the issuer's keys
//   BENCH_POOL       connections to PostgreSQL
//
// Each prints "port N" when it listens.
import { readFileSync } from "node:fs";
import pg from "pg";

const env = process.env;

export const issuer = env.BENCH_ISSUER;
export const audience = env.BENCH_AUDIENCE;
export const jwksUrl = env.BENCH_JWKS;
export const database = env.BENCH_DATABASE;
export const poolSize = Number(env.BENCH_POOL);
export const rate = { max: 1e9, windowMs: 1000 }; // a limit that nobody reaches

export const productSql = readFileSync(env.BENCH_PRODUCT_SQL, "utf8");
export const saleSql = readFileSync(new URL("bare_sale.sql", import.meta.url), "utf8");

const INT8 = 20;
pg.types.setTypeParser(INT8, Number); // amounts and versions are far below 2^53

export function pool() {
  return new pg.Pool({ connectionString: database, max: poolSize });
}

// The issuer's keys as {kid: JWK}, fetched once.
export async function fetchKeys() {
  const answer = await fetch(jwksUrl);
  const { keys } = await answer.json();
  return Object.fromEntries(keys.map((key) => [key.kid, key]));
}

export function product(row) {
  return {
    productId: row.product_id,
    name: row.name,
    price: row.price_minor / 100,
    description: row.description,
    category: row.category,
    image: row.image,
    sku: row.sku,
    barcode: row.barcode,
    taxRate: row.tax_rate_micro / 1e6,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    version: Number(row.version),
  };
}

export function isCashier(claims) {
  return claims.token_use === "access" && claims.client_id === audience &&
    claims["cognito:groups"]?.includes("cashier");
}

export function saleValues(body, cashier) {
  return [crypto.randomUUID(), body.registerId, cashier, body.items.map((item) => item.productId)];
}
