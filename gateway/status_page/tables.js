// SPDX-License-Identifier: Apache-2.0
// tables: figures at the head, routes, workers, certificates and keys.

// Fills a table's body; a cell is text, or [text, class].
function fillTable(id, rows, empty) {
  const body = document.querySelector("#" + id + " tbody");
  const columns = document.querySelectorAll("#" + id + " thead th").length;
  const cells = (row) => row.map((cell, i) => {
    const [text, kind] = Array.isArray(cell) ? cell : [cell, ""];
    return element(i === 0 ? "th" : "td", i === 0 ? { scope: "row", class: kind } : { class: kind }, text);
  });
  body.replaceChildren(...(rows.length ? rows.map((row) => element("tr", {}, ...cells(row)))
    : [element("tr", {}, element("td", { colspan: columns, class: "empty" }, empty))]));
}

function showRoutes(history) {
  const figures = routeFigures(history, lately(history, MINUTE));
  fillTable("routes", figures.map((route) => [
    route.name, figure(route.rate, "rate"), figure(route.refused, "percent"),
    [figure(route.errors, "percent"), route.errors > 0 ? "is-bad" : ""],
    figure(route.p50, "ms"), figure(route.p95, "ms"), figure(route.p99, "ms"),
  ]), "No request in the last minute.");
}

const before = new Map(); // of each pid, at the poll before: {atMs, requests, cpu}

// Per second since the poll before.
function speeds(worker, atMs) {
  const old = before.get(worker.pid);
  before.set(worker.pid, { atMs, requests: worker.requests, cpu: worker.cpuSeconds });
  if (!old || atMs <= old.atMs) return { rate: null, cpu: null };
  const span = (atMs - old.atMs) / 1000;
  return {
    rate: (worker.requests - old.requests) / span,
    cpu: isNumber(worker.cpuSeconds) ? (100 * (worker.cpuSeconds - old.cpu)) / span : null,
  };
}

function showWorkers(status, atMs) {
  const kinds = { serving: "is-good", stuck: "is-bad", unready: "is-bad" };
  const workers = [...status.workers].sort((a, b) => b.generation - a.generation || a.worker - b.worker);
  fillTable("workers", workers.map((worker) => {
    const speed = speeds(worker, atMs);
    return [
      String(worker.worker), [worker.state, kinds[worker.state] || "is-odd"], String(worker.pid),
      String(worker.generation), duration(worker.ageSeconds),
      isNumber(worker.heartbeatAgeSeconds) ? figure(worker.heartbeatAgeSeconds * 1000, "ms") : "–",
      figure(speed.rate, "rate"), figure(worker.requestsInFlight, "count"),
      figure(worker.connections, "count"), figure(worker.memoryBytes, "bytes"), figure(speed.cpu, "percent"),
    ];
  }), "No worker lives.");
  for (const pid of before.keys()) if (!workers.some((worker) => worker.pid === pid)) before.delete(pid);
}

const sold = []; // [{atMs, shops}] of the last minute, newest last

// What the shops sell in a minute: in the last one, or extrapolated since the page was opened.
function showShops(status, atMs) {
  sold.push({ atMs, shops: new Map(status.shops.map((of) => [of.store + " " + of.currency, of])) });
  while (sold.length > 1 && sold[1].atMs <= atMs - MINUTE) sold.shift();
  const spanMs = atMs - sold[0].atMs;
  const minutely = (now, then) => (spanMs >= 2 * POLL_MS ? ((now - then) * MINUTE) / spanMs : null);
  const rows = status.shops.map((of) => {
    const old = sold[0].shops.get(of.store + " " + of.currency) || { sales: 0, revenueMinor: 0 };
    return { ...of, newSales: minutely(of.sales, old.sales), newMinor: minutely(of.revenueMinor, old.revenueMinor) };
  }).sort((a, b) => b.newSales - a.newSales || b.sales - a.sales);
  fillTable("shops", rows.slice(0, 30).map((of) => [
    of.store, figure(of.newSales, "perMinute"),
    isNumber(of.newMinor) ? money(Math.round(of.newMinor), of.currency) + "/min" : "–",
    figure(of.sales, "count"), money(of.revenueMinor, of.currency),
  ]), "Nothing has been sold since the start.");
}

function showTrust(status, nowMs) {
  const left = (time) => (Date.parse(time) - nowMs) / 1000;
  fillTable("trust", [
    ...status.certificates.map((of) => [
      of.name, "certificate of listener " + of.listener,
      left(of.expiresAt) > 0 ? ["expires in " + duration(left(of.expiresAt)), left(of.expiresAt) < 14 * 86400 ? "is-bad" : ""]
        : ["expired", "is-bad"],
    ]),
    ...status.issuers.map((of) => [
      "issuer " + of.issuer, "keys for tokens",
      isNumber(of.keysAgeSeconds) ? "fetched " + duration(of.keysAgeSeconds) + " ago" : ["not fetched yet", "is-bad"],
    ]),
  ], "No certificate, and no keys that are fetched.");
}

// ---- figures at the head ------------------------------------------------------------------------

function share(part, all) {
  return all > 0 ? (100 * part) / all : null;
}

// [id, figure, what it is of]
function headFigures(history) {
  const now = lately(history, TEN_SECONDS), minute = lately(history, MINUTE);
  const classes = classesOf(minute, null);
  const buckets = bucketsOf(history, minute, null);
  const at = (part) => figure(percentile(buckets, history.boundsUs, part), "ms");
  const reads = (result) => added(minute, 'tillway_cache_reads_total{result="' + result + '"}');
  const span = Math.max(seconds(minute), 10) / 60;
  const revenue = Object.entries(moneyOf(minute)).map(([currency, { minor }]) => money(Math.round(minor / span), currency) + "/min");
  return [
    ["requests", figure(sum(classesOf(now, null)) / seconds(now), "rate"), plain.format(sum(classes)) + " in the last minute"],
    ["errors", figure(share(classes[5], sum(classes)) ?? 0, "percent"), plain.format(classes[5]) + " of " + plain.format(sum(classes)) + ", last minute"],
    ["latency", at(0.99), "p50 " + at(0.5) + ", p95 " + at(0.95)],
    ["sales", figure(added(minute, 'tillway_sale_results_total{result="recorded"}') / span, "perMinute"), revenue.join(" · ") || "recorded"],
    ["cache", figure(share(reads("hit"), reads("hit") + reads("miss") + reads("collapsed") + reads("bypass")), "percent"), "of product reads, from memory"],
    ["clients", figure(added(now.slice(0, 1), "tillway_connections"), "count"),
      numbered(added(now.slice(0, 1), "tillway_requests_in_flight"), "# request under way", "# requests under way")],
  ];
}

function showHead(history) {
  for (const [id, value, note] of headFigures(history)) {
    document.querySelector("#head-" + id + " b").textContent = value;
    document.querySelector("#head-" + id + " small").textContent = note;
  }
}
