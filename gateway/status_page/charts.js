// SPDX-License-Identifier: Apache-2.0
// charts: THE table of charts, and how dygraphs draws them.
//
// A chart gives for the sample at index `i` one value per series; null leaves a gap. Rates are of
// one sample (2 s), percentiles of 10 s, what is called "per minute" of the minute before.

const TEN_SECONDS = 10000;

const view = { windowMs: 10 * MINUTE, route: null }; // what the page's controls say

const one = (history, i) => [history.samples[i]];

// Of one sample, per second.
const rates = (...names) => (history, i) =>
  names.map((name) => added(one(history, i), name) / seconds(one(history, i)));

const gauges = (...names) => (history, i) => names.map((name) => added(one(history, i), name));

// In the minute that ends with the sample; extrapolated while history is shorter.
function perMinute(history, i, count) {
  const samples = lately(history, MINUTE, i);
  return (count(samples) * 60) / Math.max(seconds(samples), 10);
}

// Series that come with the data, in an order that stays; no more than a chart has hues.
function chartCurrencies(history) {
  const all = new Set();
  for (const sample of history.samples) for (const [currency] of sample.money) all.add(currency);
  return all.size ? [...all].sort() : ["sold"];
}

// The codes that were answered most, which then are always shown.
function chartCodes(history) {
  const counts = Object.entries(problemsOf(history.samples)).sort((a, b) => b[1] - a[1]);
  return counts.length ? counts.slice(0, 5).map(([code]) => code).sort() : ["none"];
}

const ofLanes = (name) => gauges(...LANES.map((lane) => name + '{lane="' + lane + '"}'));

const CHARTS = [
  {
    id: "requests", title: "Requests", unit: "rate", stacked: true,
    series: [["2xx", "good"], ["3xx", "calm"], ["4xx", "odd"], ["5xx", "bad"]],
    values: (history, i) => classesOf(one(history, i), null).slice(2).map((n) => n / seconds(one(history, i))),
  },
  {
    id: "latency", title: "Latency", unit: "ms", hasRoutes: true,
    series: [["p50", "calm"], ["p95", "odd"], ["p99", "bad"]],
    values(history, i) {
      const buckets = bucketsOf(history, lately(history, TEN_SECONDS, i), view.route);
      return [0.5, 0.95, 0.99].map((share) => percentile(buckets, history.boundsUs, share));
    },
  },
  {
    id: "errors", title: "Errors by code", unit: "rate", hues: ["odd", "bad", "violet", "calm", "grey"],
    series: [], names: chartCodes,
    values(history, i) {
      const problems = problemsOf(one(history, i));
      return this.series.map(([code]) => (problems[code] || 0) / seconds(one(history, i)));
    },
  },
  {
    id: "sales", title: "Sales", unit: "perMinute",
    series: [["recorded", "good"], ["sent again", "calm"], ["refused", "odd"]],
    values: (history, i) => ["recorded", "replayed", "refused"].map((result) =>
      perMinute(history, i, (samples) => added(samples, 'tillway_sale_results_total{result="' + result + '"}'))),
  },
  {
    id: "revenue", title: "Revenue", unit: "perMinute", isMoney: true, hues: ["good", "calm", "odd", "violet"],
    series: [], names: chartCurrencies,
    values(history, i) {
      const sold = moneyOf(lately(history, MINUTE, i));
      return this.series.map(([currency]) =>
        perMinute(history, i, () => (sold[currency] ? major(sold[currency].minor, currency) : 0)));
    },
  },
  {
    id: "queue", title: "Database: queries that wait", unit: "count",
    series: [["fast", "calm"], ["write", "good"], ["slow", "odd"]],
    values: ofLanes("tillway_db_queue_length"),
  },
  {
    id: "waits", title: "Database: wait for a connection, p95", unit: "ms",
    series: [["fast", "calm"], ["write", "good"], ["slow", "odd"]],
    values: (history, i) => LANES.map((_, lane) =>
      percentile(waitsOf(history, lately(history, TEN_SECONDS, i), lane), history.boundsUs, 0.95)),
  },
  {
    id: "lanes", title: "Database: connections", unit: "count",
    series: [["fast", "calm"], ["write", "good"], ["slow", "odd"]],
    values: ofLanes("tillway_db_connections"),
  },
  {
    id: "cache", title: "Product reads", unit: "rate", stacked: true,
    series: [["from memory", "good"], ["by query", "calm"], ["shared", "violet"], ["unheard", "bad"]],
    values: rates(...["hit", "miss", "collapsed", "bypass"].map((r) => 'tillway_cache_reads_total{result="' + r + '"}')),
  },
  {
    id: "limits", title: "Turned away", unit: "rate",
    series: [["limit (429)", "odd"], ["overload", "bad"], ["malformed", "violet"], ["bad token", "grey"]],
    values(history, i) {
      const samples = one(history, i);
      return [added(samples, "tillway_requests_limited_total"), addedAll(samples, "tillway_db_shed_total{"),
        addedAll(samples, "tillway_guard_refusals_total{"),
        added(samples, 'tillway_token_checks_total{result="refused"}')].map((n) => n / seconds(samples));
    },
  },
  {
    id: "tokens", title: "Tokens checked", unit: "rate", stacked: true,
    series: [["from memory", "good"], ["by signature", "calm"]],
    values: rates('tillway_token_checks_total{result="cached"}', 'tillway_token_checks_total{result="verified"}'),
  },
  {
    id: "connections", title: "Clients", unit: "count",
    series: [["connections", "calm"], ["requests under way", "good"]],
    values: gauges("tillway_connections", "tillway_requests_in_flight"),
  },
];

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// The library's legend writes inline styles, which the page's policy forbids; ours is its own.
Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);

// ---- one chart --------------------------------------------------------------------------------

// A value with its unit; an axis (no series) of several currencies has none.
function valueText(chart, value, series) {
  if (!chart.isMoney) return figure(value, chart.unit);
  if (!isNumber(value)) return "–";
  const [currency] = chart.series[chart.series.length === 1 ? 0 : series] || [""];
  return shortMoney(value, currency) + "/min";
}

function makeLegend(chart) {
  chart.legend = chart.series.map(([name, hue]) => {
    const value = element("b", {}, "–");
    return { value, node: element("li", { class: "hue-" + hue }, name + " ", value) };
  });
  chart.legendList.replaceChildren(...chart.legend.map((entry) => entry.node));
}

// Takes the series' names from the data; a graph cannot change the number of its series.
function nameSeries(chart, history) {
  const names = chart.names(history).slice(0, chart.hues.length);
  if (names.join() === chart.series.map(([name]) => name).join()) return;
  chart.series = names.map((name, i) => [name, chart.hues[i]]);
  makeLegend(chart);
  if (chart.graph) chart.graph.destroy();
  chart.graph = null;
}

// The figures at this row of what is drawn; without one, the newest.
function showFigures(chart, row) {
  const values = chart.rows.length ? chart.rows[row === undefined ? chart.rows.length - 1 : row].slice(1) : [];
  chart.legend.forEach((entry, i) => (entry.value.textContent = valueText(chart, values[i], i)));
}

function colors(chart) {
  return {
    colors: chart.series.map(([, hue]) => color(hue)),
    gridLineColor: color("line"), axisLineColor: color("line"),
  };
}

function draw(chart) {
  chart.graph = new Dygraph(chart.plot, chart.rows, {
    ...colors(chart),
    labels: ["time", ...chart.series.map(([name]) => name)],
    interactionModel: {}, // a page that is scrolled by a finger must not zoom
    resizable: "passive",
    stackedGraph: Boolean(chart.stacked), fillAlpha: 0.25,
    strokeWidth: 1.6, highlightCircleSize: 3,
    includeZero: true, rightGap: 4, xRangePad: 0, yRangePad: 2,
    axes: {
      x: { axisLabelWidth: 64, pixelsPerLabel: 84, axisLabelFormatter: clockOf },
      y: { axisLabelWidth: 58, pixelsPerLabel: 26, axisLabelFormatter: (value) => valueText(chart, value) },
    },
    highlightCallback: (event, x, points, row) => choose(row, chart),
    unhighlightCallback: () => choose(undefined, chart),
  });
}

function clockOf(at) {
  const time = at instanceof Date ? at : new Date(at);
  return time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: time.getSeconds() ? "2-digit" : undefined });
}

// The same moment in every chart.
function choose(row, origin) {
  for (const chart of CHARTS) {
    showFigures(chart, row);
    if (chart === origin || !chart.graph) continue;
    if (row === undefined) chart.graph.clearSelection();
    else chart.graph.setSelection(row);
  }
}

// dygraphs takes the largest value for the top of its axis: a flat line at 0 gets one, too.
function rangeOf(chart) {
  const least = { rate: 1, perMinute: 1, count: 4, ms: 1, percent: 1 }[chart.unit];
  const heights = chart.rows.map((row) =>
    chart.stacked ? sum(row.slice(1)) : Math.max(...row.slice(1).map((value) => value || 0)));
  return [0, Math.max(least, ...heights) * 1.08];
}

function update(chart, history, times) {
  const last = times.length - 1;
  if (chart.names) nameSeries(chart, history);
  chart.rows = times.map(({ t, i }) => [new Date(t), ...chart.values(history, i)]);
  if (!chart.rows.length) return;
  const from = Math.max(times[last].t - view.windowMs, Math.min(times[0].t, times[last].t - MINUTE));
  const window = { dateWindow: [from, times[last].t], valueRange: rangeOf(chart) };
  if (!chart.graph) draw(chart);
  chart.graph.updateOptions({ file: chart.rows, ...window });
  if (chart.graph.getSelection() < 0) showFigures(chart);
  chart.plot.setAttribute("aria-label", chart.title + ", now: " +
    chart.series.map(([name], i) => name + " " + chart.legend[i].value.textContent).join(", "));
}

// ---- all of them ------------------------------------------------------------------------------

function makeCharts(parent) {
  for (const chart of CHARTS) {
    chart.rows = [];
    chart.plot = element("div", { class: "plot", role: "img" });
    const head = element("header", {}, element("h2", {}, chart.title));
    if (chart.hasRoutes) head.append(document.getElementById("routes-choice").content.cloneNode(true));
    chart.legendList = element("ul", { class: "legend" });
    makeLegend(chart);
    parent.append(element("section", { class: "panel chart", id: "chart-" + chart.id }, head, chart.legendList, chart.plot));
  }
}

function updateCharts(history) {
  const newest = history.samples.length ? history.samples[history.samples.length - 1].t : 0;
  const times = history.samples.map((sample, i) => ({ t: sample.t, i })).filter(({ t }) => t >= newest - view.windowMs);
  for (const chart of CHARTS) update(chart, history, times);
}

function recolorCharts() {
  for (const chart of CHARTS) if (chart.graph) chart.graph.updateOptions(colors(chart));
}
