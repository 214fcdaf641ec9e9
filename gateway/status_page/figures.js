// SPDX-License-Identifier: Apache-2.0
// figures: numbers as people read them, each with its unit; percentiles of histograms. Pure.

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

// Three significant figures, no needless zeros: 0.25, 3.1, 42, 1,250.
function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return new Intl.NumberFormat("en", { maximumFractionDigits: decimals }).format(value);
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

const units = {
  rate: (value) => short(value) + "/s",
  perMinute: (value) => short(value) + "/min",
  count: (value) => plain.format(value),
  percent: (value) => short(value) + " %",
  ms: (value) => (value >= 1000 ? short(value / 1000) + " s" : short(value) + " ms"),
  bytes(value) {
    for (const [size, name] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]])
      if (value >= size) return short(value / size) + " " + name;
    return plain.format(value) + " B";
  },
};

// "–" for what is not known.
function figure(value, unit) {
  return isNumber(value) ? units[unit](value) : "–";
}

// What is counted as "other" has no currency of its own.
const isCurrency = (name) => /^[A-Z]{3}$/.test(name);

const moneyFormat = (currency, options = {}) =>
  new Intl.NumberFormat("en", { style: "currency", currency, ...options });

// Minor units as major ones, by the currency's own decimals.
function major(minor, currency) {
  if (!isCurrency(currency)) return minor;
  return minor / 10 ** moneyFormat(currency).resolvedOptions().maximumFractionDigits;
}

// "€12.50"
function money(minor, currency) {
  return isCurrency(currency) ? moneyFormat(currency).format(major(minor, currency))
    : plain.format(minor) + " minor units (" + currency + ")";
}

// "€1.2K", for the axis of a chart.
function shortMoney(amount, currency) {
  return isCurrency(currency) ? moneyFormat(currency, { notation: "compact", maximumFractionDigits: 1,
    minimumFractionDigits: 0 }).format(amount) : short(amount);
}

// "40 s", "3 min", "2 h", "9 days": the largest unit that fits, rounded down.
function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return whole + " s";
  if (whole < 7200) return Math.floor(whole / 60) + " min";
  if (whole < 48 * 3600) return Math.floor(whole / 3600) + " h";
  return Math.floor(whole / 86400) + " days";
}

// "1 query waits", "3 queries wait": forms with "#" for the number.
function numbered(n, one, many) {
  return (n === 1 ? one : many).replace("#", plain.format(n));
}

function sum(numbers) {
  return numbers.reduce((total, n) => total + n, 0);
}

// The duration in ms that `share` (0 to 1) of the observations do not exceed, interpolated in its
// bucket as Prometheus does. In the last bucket, which has no upper bound, its lower one. null when
// nothing was observed.
function percentile(buckets, boundsUs, share) {
  const total = sum(buckets);
  if (total === 0) return null;
  let below = 0;
  for (let i = 0; i < buckets.length; i++) {
    const lower = i > 0 ? boundsUs[i - 1] : 0;
    if (below + buckets[i] >= total * share && buckets[i] > 0) {
      if (i >= boundsUs.length) return lower / 1000;
      return (lower + (boundsUs[i] - lower) * ((total * share - below) / buckets[i])) / 1000;
    }
    below += buckets[i];
  }
  return boundsUs[boundsUs.length - 1] / 1000;
}
