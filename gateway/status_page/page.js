// SPDX-License-Identifier: Apache-2.0
// page: asks the master every two seconds and shows what it says.

const PATIENCE_MS = 5000;

const history = newHistory();
let status = null; // the last document
let clockAheadMs = 0; // of this machine, against the master's
let answeredMs = 0; // when the last document came
let timer = null;

const byId = (id) => document.getElementById(id);

function showAlerts() {
  const nowMs = Date.now() - clockAheadMs;
  const silent = Date.now() - answeredMs;
  const alerts = status ? alertsOf(status, history, nowMs) : [];
  if (answeredMs && silent > 3 * POLL_MS)
    alerts.unshift(["bad", "The master has not answered for " + duration(silent / 1000) + "; figures are of then."]);
  const nodes = alerts.map(([level, text]) => element("li", { class: level }, element("span", { class: "level" },
    { bad: "Problem", warn: "Look", info: "Note" }[level]), " " + text));
  if (!nodes.length && status) nodes.push(element("li", { class: "good" }, "All is well."));
  const texts = nodes.map((node) => node.textContent).join("\n");
  if (byId("alerts").dataset.texts === texts) return; // nothing new to be read aloud
  byId("alerts").dataset.texts = texts;
  byId("alerts").replaceChildren(...nodes);
}

function showState() {
  const { readiness } = status;
  const words = { ready: "Ready", unready: "Not ready", draining: "Draining" };
  byId("state").textContent = words[readiness.status];
  byId("state").className = "state " + readiness.status;
  document.title = words[readiness.status] + " · Tillway";
  byId("facts").textContent = [
    location.host, "version " + status.version,
    "up " + duration((Date.now() - clockAheadMs - Date.parse(status.startedAt)) / 1000),
    readiness.workersReady + " of " + readiness.workersExpected + " workers ready",
    "configuration " + status.generation + ", loaded " +
      duration((Date.now() - clockAheadMs - Date.parse(status.loadedAt)) / 1000) + " ago",
  ].join("  ·  ");
}

// The routes that were asked for, in the table's order; whoever is chosen stays.
function showChoices() {
  const seen = new Set(history.samples.flatMap((sample) => [...sample.routes.keys()]));
  if (view.route !== null) seen.add(view.route);
  const rows = [...seen].sort((a, b) => a - b);
  const select = byId("route");
  if (select.dataset.rows === rows.join()) return;
  select.dataset.rows = rows.join();
  select.replaceChildren(element("option", { value: "" }, "all routes"),
    ...rows.map((row) => element("option", { value: row }, history.routes[row])));
  select.value = view.route === null ? "" : view.route;
}

function show() {
  showState();
  showChoices();
  showHead(history);
  updateCharts(history);
  showRoutes(history);
  showWorkers(status, answeredMs);
  showShops(status, answeredMs);
  showTrust(status, Date.now() - clockAheadMs);
  showAlerts();
}

async function ask() {
  const answer = await fetch("status.json" + (history.newest ? "?after=" + history.newest : ""),
    { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
  if (!answer.ok) throw new Error("status " + answer.status);
  return answer.json();
}

async function poll() {
  clearTimeout(timer);
  try {
    const got = await ask();
    if (!take(history, got)) {
      Object.assign(history, newHistory());
      poll(); // another master: from the beginning
      return;
    }
    status = got;
    answeredMs = Date.now();
    clockAheadMs = answeredMs - Date.parse(got.now);
    document.body.classList.remove("is-waiting");
    show();
  } catch (error) {
    console.info("no answer:", error.message);
    showAlerts();
  }
  if (!document.hidden) timer = setTimeout(poll, POLL_MS);
}

function choosePeriod(button) {
  view.windowMs = Number(button.value) * MINUTE;
  for (const other of byId("periods").children) other.setAttribute("aria-pressed", String(other === button));
  updateCharts(history);
}

makeCharts(byId("charts"));
byId("periods").addEventListener("click", (event) => event.target.value && choosePeriod(event.target));
byId("route").addEventListener("change", (event) => {
  view.route = event.target.value === "" ? null : Number(event.target.value);
  updateCharts(history);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolorCharts);
document.addEventListener("visibilitychange", () => !document.hidden && poll());
poll();
