// SPDX-License-Identifier: Apache-2.0
// alerts: what an operator has to know now, in words, the worst first. Pure.
//
// "bad": customers suffer, or soon will. "warn": somebody should look. "info": it goes on as it was
// asked to. For alerts while nobody looks there is Prometheus (deploy/observability).

const LEVELS = ["bad", "warn", "info"];
const MINUTE = 60000;

function readinessAlerts(status, nowMs) {
  const { readiness } = status;
  const since = duration((nowMs - Date.parse(readiness.since)) / 1000);
  const words = {
    database: "Database has not been ready for " + since + ".",
    keys: "Keys to check tokens with have been missing for " + since + ".",
    workers: "Workers have not been ready for " + since + ".",
  };
  const out = readiness.reasons.map((reason) => ["bad", words[reason]]);
  if (readiness.status === "draining")
    out.push(["info", "Stopping: new clients are turned away, what has begun is finished."]);
  return out;
}

function changeAlerts(status, nowMs) {
  const out = [];
  const ago = (time) => duration((nowMs - Date.parse(time)) / 1000) + " ago";
  const { lastReload, lastUpgrade } = status;
  if (status.change === "reload") out.push(["info", "A reload is under way: new workers get ready."]);
  if (status.change === "upgrade") out.push(["info", "An upgrade is under way: another binary gets ready."]);
  if (lastReload && lastReload.result === "failed")
    out.push(["warn", "Reload failed " + ago(lastReload.at) + ", the old configuration serves: " + lastReload.why]);
  if (lastUpgrade && lastUpgrade.result === "failed")
    out.push(["warn", "Upgrade failed " + ago(lastUpgrade.at) + ", the old binary serves: " + lastUpgrade.why]);
  if (status.restartNeeded) out.push(["warn", "A restart is needed to change " + status.restartNeeded + "."]);
  return out;
}

function certificateAlerts(status, nowMs) {
  const out = [];
  for (const { name, expiresAt } of status.certificates) {
    const left = (Date.parse(expiresAt) - nowMs) / 1000;
    if (left <= 0) out.push(["bad", "Certificate " + name + " expired " + duration(-left) + " ago."]);
    else if (left < 14 * 86400)
      out.push([left < 3 * 86400 ? "bad" : "warn", "Certificate " + name + " expires in " + duration(left) + "."]);
  }
  return out;
}

function keyAlerts(status) {
  const out = [];
  for (const { issuer, fetchesFailed, keysAgeSeconds } of status.issuers) {
    if (keysAgeSeconds === null && fetchesFailed > 0)
      out.push(["bad", "Keys of issuer " + issuer + " could not be fetched yet, after " +
        numbered(fetchesFailed, "# try.", "# tries.")]);
    else if (keysAgeSeconds > 2 * 3600)
      out.push(["warn", "Keys of issuer " + issuer + " are " + duration(keysAgeSeconds) + " old."]);
  }
  return out;
}

function workerAlerts(status, nowMs) {
  const out = [];
  const since = (nowMs - Date.parse(status.loadedAt)) / 1000;
  for (const worker of status.workers) {
    const who = "Worker " + worker.worker + " (pid " + worker.pid + ")";
    if (worker.state === "stuck") out.push(["bad", who + " does not turn; it is being replaced."]);
    else if (worker.generation === status.generation && worker.ageSeconds < 300 && worker.ageSeconds < since - 5)
      out.push(["warn", who + " has replaced one that died " + duration(worker.ageSeconds) + " ago."]);
  }
  return out;
}

function trafficAlerts(history, samples) {
  const out = [];
  const classes = classesOf(samples, null);
  const all = sum(classes);
  const failed = (100 * classes[5]) / all;
  if (classes[5] >= 3 && failed >= 0.1)
    out.push([failed >= 2 ? "bad" : "warn", figure(failed, "percent") + " of requests fail (5xx, last minute)."]);
  const p99 = percentile(bucketsOf(history, samples, null), history.boundsUs, 0.99);
  if (all >= 100 && p99 >= 500)
    out.push(["warn", "1 % of requests take longer than " + figure(p99, "ms") + " (last minute)."]);
  const limited = added(samples, "tillway_requests_limited_total");
  if (all > 0 && limited / all >= 0.05)
    out.push(["warn", figure((100 * limited) / all, "percent") + " of requests are over a limit (429, last minute)."]);
  return out;
}

function databaseAlerts(history, samples) {
  const out = [];
  const shed = addedAll(samples, "tillway_db_shed_total{");
  if (shed > 0)
    out.push(["bad", numbered(shed, "# query was", "# queries were") +
      " refused in the last minute: more work than PostgreSQL can do."]);
  const lost = added(samples, "tillway_db_connection_losses_total");
  if (lost > 0)
    out.push(["warn", numbered(lost, "# database connection was", "# database connections were") +
      " lost or not to be had in the last minute."]);
  LANES.forEach((lane, i) => {
    const wait = percentile(waitsOf(history, samples, i), history.boundsUs, 0.95);
    if (wait >= 100) out.push(["warn", "Queries of lane " + lane + " wait " + figure(wait, "ms") + " for a connection (p95)."]);
  });
  if (added(samples, 'tillway_cache_reads_total{result="bypass"}') > 0)
    out.push(["warn", "Products are not answered from memory: changes are not heard."]);
  const dropped = added(samples, "tillway_log_lines_dropped_total");
  if (dropped > 0)
    out.push(["warn", numbered(dropped, "# log line was", "# log lines were") + " dropped in the last minute."]);
  return out;
}

// [[level, sentence], ...]; `nowMs` is the master's clock.
function alertsOf(status, history, nowMs) {
  const samples = lately(history, MINUTE);
  return [
    ...readinessAlerts(status, nowMs), ...workerAlerts(status, nowMs),
    ...trafficAlerts(history, samples), ...databaseAlerts(history, samples),
    ...certificateAlerts(status, nowMs), ...keyAlerts(status), ...changeAlerts(status, nowMs),
  ].sort((a, b) => LEVELS.indexOf(a[0]) - LEVELS.indexOf(b[0]));
}
