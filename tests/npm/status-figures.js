// SPDX-License-Identifier: Apache-2.0
// What the status page's figures and words are made of (gateway/status_page), without a browser:
//
//   node status-figures.js           the last lines are Node's own count of failures
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const vm = require("node:vm");

const SOURCE = path.join(__dirname, "../../gateway/status_page");
const text = ["figures.js", "history.js", "alerts.js"].map((name) => fs.readFileSync(path.join(SOURCE, name), "utf8")).join("\n");
const page = vm.runInNewContext(text + `;({ figure, money, shortMoney, duration, numbered, percentile, newHistory, take, lately,
  seconds, added, addedAll, classesOf, moneyOf, problemsOf, routeFigures, alertsOf })`, { Intl });
const same = (got, wanted) => assert.deepStrictEqual(JSON.parse(JSON.stringify(got)), wanted);

const NAMES = ["tillway_requests_limited_total", 'tillway_db_shed_total{priority="list"}',
  'tillway_db_shed_total{priority="sale"}', "tillway_db_connection_losses_total"];
const START = "2026-11-28T12:00:00.000Z";
const NOW = Date.parse("2026-11-28T12:10:00.000Z");

const document = (samples, more = {}) => ({
  startedAt: START, loadedAt: START, generation: 1, change: "none", restartNeeded: "",
  readiness: { status: "ready", since: START, reasons: [] }, lastReload: null, lastUpgrade: null,
  certificates: [], issuers: [], workers: [], shops: [],
  metrics: NAMES, routes: ["unmatched", "GET /a", "POST /b"], bucketsUs: [1000, 10000, 100000], samples, ...more,
});

const sample = (n, more = {}) => ({ n, t: NOW - 60000 + 2000 * n, ms: 2000, m: [], r: [], s: [], p: [], q: [[], [], []], ...more });

const historyOf = (...samples) => {
  const history = page.newHistory();
  assert.ok(page.take(history, document(samples)));
  return history;
};

const sentences = (more, ...samples) => page.alertsOf(document([], more), historyOf(...samples), NOW).map((alert) => alert.join(": "));

test("numbers have three figures and a unit", () => {
  assert.equal(page.figure(0.1234, "ms"), "0.123 ms");
  assert.equal(page.figure(42.04, "ms"), "42 ms");
  assert.equal(page.figure(1250, "ms"), "1.25 s");
  assert.equal(page.figure(12345.6, "rate"), "12,346/s");
  assert.equal(page.figure(10 * 2 ** 20, "bytes"), "10 MiB");
  assert.equal(page.figure(null, "ms"), "–");
  assert.equal(page.figure(0 / 0, "percent"), "–");
});

test("money has the decimals of its currency", () => {
  assert.equal(page.money(123456, "EUR"), "€1,234.56");
  assert.equal(page.money(123456, "JPY"), "¥123,456");
  assert.equal(page.money(5, "other"), "5 minor units (other)");
  assert.equal(page.shortMoney(12345, "USD"), "$12.3K");
});

test("durations are rounded down to the unit that fits", () => {
  same([40.9, 119, 120, 7199, 7200, 9.9 * 86400, -3].map((s) => page.duration(s)),
    ["40 s", "119 s", "2 min", "119 min", "2 h", "9 days", "0 s"]);
});

test("percentiles are interpolated in their bucket", () => {
  const bounds = [1000, 10000, 100000];
  assert.equal(page.percentile([0, 0, 0, 0], bounds, 0.5), null);
  assert.equal(page.percentile([100, 0, 0, 0], bounds, 0.5), 0.5);
  assert.equal(page.percentile([50, 50, 0, 0], bounds, 0.5), 1);
  assert.equal(page.percentile([0, 100, 0, 0], bounds, 0.95), 9.55);
  assert.equal(page.percentile([0, 0, 0, 1], bounds, 0.99), 100, "no upper bound: the lower one");
});

test("samples are kept in order, once, and for half an hour", () => {
  const history = historyOf(sample(1), sample(2));
  page.take(history, { startedAt: START, samples: [sample(2), sample(3)] });
  same(history.samples.length, 3);
  page.take(history, { startedAt: START, samples: [sample(4, { t: NOW - 55000 + 30 * 60000 })] });
  same(history.samples.map((s) => (s.t - NOW) / 1000), [-54, 1745]);
});

test("another master's document is refused", () => {
  const history = historyOf(sample(1));
  assert.equal(page.take(history, { startedAt: "2026-11-28T12:09:00.000Z", samples: [sample(1)] }), false);
});

test("sums over samples, routes and currencies", () => {
  const history = historyOf(
    sample(1, { p: ["not-found", 2, "overloaded", 1], m: [0, 5, 1, 2], r: [[1, 0, 0, 8, 0, 1, 1, 9, 1]], s: [["EUR", 2, 500]] }),
    sample(2, { p: ["not-found", 1], m: [1, 1, 2, 3], r: [[2, 1, 0, 3, 0, 0, 0, 0, 4]], s: [["EUR", 1, 100], ["USD", 1, 7]] }));
  const all = page.lately(history, 60000);
  assert.equal(page.seconds(all), 4);
  assert.equal(page.added(all, NAMES[0]), 5);
  assert.equal(page.addedAll(all, "tillway_db_shed_total{"), 6);
  same(page.problemsOf(all), { "not-found": 3, overloaded: 1 });
  same(page.classesOf(all, null), [1, 0, 11, 0, 1, 1]);
  same(page.classesOf(all, 2), [1, 0, 3, 0, 0, 0]);
  same(page.moneyOf(all), { EUR: { sales: 3, minor: 600 }, USD: { sales: 1, minor: 7 } });
  const [first, second] = page.routeFigures(history, all);
  same([first.name, first.rate, first.errors, second.name, second.rate], ["GET /a", 2.5, 10, "POST /b", 1]);
  same(page.lately(history, 2000).length, 1);
});

test("nothing is wrong, nothing is said", () => same(sentences({}, sample(1, { r: [[1, 0, 0, 500, 0, 0, 0, 500]] })), []));

test("what is wrong is said, the worst first", () => {
  const unready = { status: "unready", since: "2026-11-28T12:09:20.000Z", reasons: ["database"] };
  const failed = { at: "2026-11-28T12:07:00.000Z", result: "failed", why: "tillway.yaml:3: log.level: unknown" };
  const soon = [{ name: "pos.example.com", expiresAt: "2026-12-08T00:00:00.000Z" }, { name: "old", expiresAt: "2026-11-27T12:10:00.000Z" },
    { name: "good", expiresAt: "2027-11-27T12:10:00.000Z" }];
  same(sentences({ readiness: unready, lastReload: failed, certificates: soon, restartNeeded: "admin.port" }), [
    "bad: Database has not been ready for 40 s.",
    "bad: Certificate old expired 24 h ago.",
    "warn: Certificate pos.example.com expires in 9 days.",
    "warn: Reload failed 3 min ago, the old configuration serves: tillway.yaml:3: log.level: unknown",
    "warn: A restart is needed to change admin.port.",
  ]);
});

test("traffic and the database of the last minute", () => {
  same(sentences({}, sample(1, { m: [0, 20, 1, 7, 3, 1], r: [[1, 0, 0, 80, 0, 15, 5, 0, 0, 90, 10]] })), [
    "bad: 5 % of requests fail (5xx, last minute).",
    "bad: 7 queries were refused in the last minute: more work than PostgreSQL can do.",
    "warn: 20 % of requests are over a limit (429, last minute).",
    "warn: 1 database connection was lost or not to be had in the last minute.",
  ]);
  same(sentences({}, sample(1, { q: [[], [0, 0, 0, 9], []] })), ["warn: Queries of lane write wait 100 ms for a connection (p95)."]);
});

test("workers that hang, or have replaced another", () => {
  const worker = { worker: 1, pid: 77, generation: 1, state: "serving", ageSeconds: 40 };
  same(sentences({ workers: [worker] }), ["warn: Worker 1 (pid 77) has replaced one that died 40 s ago."]);
  same(sentences({ workers: [{ ...worker, state: "stuck", ageSeconds: 600 }] }), ["bad: Worker 1 (pid 77) does not turn; it is being replaced."]);
  same(sentences({ workers: [{ ...worker, ageSeconds: 599 }] }), []);
});

test("keys that could not be fetched", () => {
  same(sentences({ issuers: [{ issuer: 0, fetchesFailed: 3, keysAgeSeconds: null }, { issuer: 1, fetchesFailed: 1, keysAgeSeconds: 60 },
    { issuer: 2, fetchesFailed: 9, keysAgeSeconds: 10800 }] }),
  ["bad: Keys of issuer 0 could not be fetched yet, after 3 tries.", "warn: Keys of issuer 2 are 3 h old."]);
});
