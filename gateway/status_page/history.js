// SPDX-License-Identifier: Apache-2.0
// history: samples of /status.json, kept and summed. Pure.
//
// A sample says what was added in its `ms` milliseconds, which end at `t`; of gauges the value then.
// What the master has forgotten (10 minutes) this page keeps (30).

const POLL_MS = 2000;
const KEPT_MS = 30 * 60 * 1000;
const CLASSES = ["abandoned", "1xx", "2xx", "3xx", "4xx", "5xx"];
const LANES = ["fast", "write", "slow"];

function newHistory() {
  return { startedAt: null, newest: 0, samples: [], routes: [], boundsUs: [], names: [] };
}

// One sample with names instead of indexes.
function decode(sample, names, boundsUs) {
  const metrics = new Map();
  for (let i = 0; i + 1 < sample.m.length; i += 2) metrics.set(names[sample.m[i]], sample.m[i + 1]);
  const pad = (buckets) => Array.from({ length: boundsUs.length + 1 }, (_, i) => buckets[i] || 0);
  return {
    t: sample.t,
    ms: sample.ms,
    metrics,
    routes: new Map(sample.r.map((r) => [r[0], { classes: r.slice(1, 7), buckets: pad(r.slice(7)) }])),
    waits: sample.q.map(pad),
    problems: sample.p,
    money: sample.s,
  };
}

// Adds what a document brings. False when it is another master's: ask for everything again.
function take(history, status) {
  if (status.metrics) {
    Object.assign(history, newHistory(), {
      startedAt: status.startedAt, routes: status.routes, boundsUs: status.bucketsUs,
      names: status.metrics,
    });
  } else if (status.startedAt !== history.startedAt) {
    return false;
  }
  for (const sample of status.samples) {
    if (sample.n <= history.newest) continue;
    history.samples.push(decode(sample, history.names, history.boundsUs));
    history.newest = sample.n;
  }
  const last = history.samples[history.samples.length - 1];
  const first = history.samples.findIndex((sample) => sample.t > last.t - KEPT_MS);
  if (first > 0) history.samples.splice(0, first);
  return true;
}

// The samples of the last `ms` before and with index `end` (the newest one unless given).
function lately(history, ms, end = history.samples.length - 1) {
  const out = [];
  let left = ms;
  for (let i = end; i >= 0 && left > 0; i--) {
    out.push(history.samples[i]);
    left -= history.samples[i].ms;
  }
  return out;
}

function seconds(samples) {
  return sum(samples.map((sample) => sample.ms)) / 1000;
}

// What a counter has grown by, or a gauge's value in one sample.
function added(samples, name) {
  return sum(samples.map((sample) => sample.metrics.get(name) || 0));
}

// The same for every metric whose name begins so: "tillway_guard_refusals_total{".
function addedAll(samples, prefix) {
  let total = 0;
  for (const sample of samples)
    for (const [name, value] of sample.metrics) if (name.startsWith(prefix)) total += value;
  return total;
}

// Answers by class, of one route (its row) or of all (null).
function classesOf(samples, row) {
  const out = CLASSES.map(() => 0);
  for (const sample of samples)
    for (const [at, route] of sample.routes)
      if (row === null || at === row) route.classes.forEach((n, i) => (out[i] += n));
  return out;
}

function bucketsOf(history, samples, row) {
  const out = Array(history.boundsUs.length + 1).fill(0);
  for (const sample of samples)
    for (const [at, route] of sample.routes)
      if (row === null || at === row) route.buckets.forEach((n, i) => (out[i] += n));
  return out;
}

function waitsOf(history, samples, lane) {
  const out = Array(history.boundsUs.length + 1).fill(0);
  for (const sample of samples) sample.waits[lane].forEach((n, i) => (out[i] += n));
  return out;
}

// {code: n} of the errors that were answered.
function problemsOf(samples) {
  const out = {};
  for (const { problems } of samples)
    for (let i = 0; i + 1 < problems.length; i += 2) out[problems[i]] = (out[problems[i]] || 0) + problems[i + 1];
  return out;
}

// {currency: {sales, minor}} of what was sold.
function moneyOf(samples) {
  const out = {};
  for (const sample of samples)
    for (const [currency, sales, minor] of sample.money) {
      out[currency] = out[currency] || { sales: 0, minor: 0 };
      out[currency].sales += sales;
      out[currency].minor += minor;
    }
  return out;
}

// [{row, name, rate, errors (%), p50, p95, p99}] of the routes asked for, the busiest first.
function routeFigures(history, samples) {
  const span = seconds(samples);
  const rows = new Set(samples.flatMap((sample) => [...sample.routes.keys()]));
  return [...rows]
    .map((row) => {
      const classes = classesOf(samples, row);
      const buckets = bucketsOf(history, samples, row);
      const at = (share) => percentile(buckets, history.boundsUs, share);
      return {
        row, name: history.routes[row], rate: sum(classes) / span,
        refused: (100 * classes[4]) / sum(classes), errors: (100 * classes[5]) / sum(classes),
        p50: at(0.5), p95: at(0.95), p99: at(0.99),
      };
    })
    .sort((a, b) => b.rate - a.rate);
}
