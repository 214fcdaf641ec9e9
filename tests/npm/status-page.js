// SPDX-License-Identifier: Apache-2.0
// The status page in a browser (Debian's Chromium, headless), for tests/e2e/test_status_page.py.
//
//   node status-page.js look URL                what it shows, wide, on a phone, dark and light, as JSON
//   node status-page.js shoot URL FILE [dark|light] [WIDTHxHEIGHT] [full]   a picture
//
// Waits for the page's own words, never for a time.
"use strict";

const { chromium } = require("playwright-core");

const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 360, height: 740 };
const PATIENCE_MS = 20000;

const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
});

// Opens it; what it asks for and what it complains of go into `seen`.
async function open(browser, url, options, seen) {
  const context = await browser.newContext({ ...options, locale: "en-GB", timezoneId: "UTC" });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("console", (message) => seen.console.push(message.type() + ": " + message.text()));
  page.on("pageerror", (error) => seen.console.push("pageerror: " + error.message));
  page.on("request", (request) => seen.requests.add(request.url()));
  await page.goto(url);
  await page.waitForFunction(() => !document.body.classList.contains("is-waiting"));
  await page.waitForFunction(() => document.querySelectorAll(".plot canvas").length > 0);
  return page;
}

// A short name for what every chart shows now.
const pictures = (page) => page.evaluate(() => Object.fromEntries([...document.querySelectorAll(".chart")].map((chart) => {
  const canvas = [...chart.querySelectorAll("canvas")];
  return [chart.id, canvas.map((one) => one.toDataURL()).join()];
})));

const facts = (page) => page.evaluate(() => {
  const text = (selector) => [...document.querySelectorAll(selector)].map((node) => node.innerText.trim());
  const rows = (id) => [...document.querySelectorAll("#" + id + " tbody tr")].map((row) => [...row.children].map((cell) => cell.innerText));
  return {
    title: document.title, state: text("#state")[0], alerts: text("#alerts li"),
    heads: Object.fromEntries([...document.querySelectorAll(".heads > div")].map((head) => [head.id.slice(5), head.querySelector("b").innerText])),
    legends: Object.fromEntries([...document.querySelectorAll(".chart")].map((chart) => [chart.id.slice(6), chart.querySelector(".legend").innerText])),
    routes: rows("routes"), shops: rows("shops"), workers: rows("workers"), trust: rows("trust"),
    background: getComputedStyle(document.body).backgroundColor,
    sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    images: [...document.querySelectorAll(".plot")].every((plot) => /now: .*\d/.test(plot.getAttribute("aria-label"))),
    blank: [...document.querySelectorAll(".plot")].filter((plot) => plot.getBoundingClientRect().height < 50).length,
  };
});

async function look(url) {
  const seen = { console: [], requests: new Set() };
  const browser = await launch();
  try {
    const page = await open(browser, url, { viewport: DESKTOP, colorScheme: "dark" }, seen);
    await page.waitForFunction(() => /^[1-9]/.test(document.querySelector("#head-requests b").innerText));
    const before = await pictures(page);
    const dark = await facts(page);
    await page.waitForFunction((old) => document.querySelector("#chart-requests .plot").getAttribute("aria-label") !== old,
      await page.getAttribute("#chart-requests .plot", "aria-label"));
    const after = await pictures(page);
    await page.emulateMedia({ colorScheme: "light" });
    const light = await facts(page);
    await page.selectOption("#route", { index: 1 });
    await page.click("#periods button:first-child");
    await page.hover("#chart-latency .plot");
    const chosen = await facts(page);
    await page.setViewportSize(PHONE);
    const narrowed = await facts(page);
    await page.context().close();
    const phone = await open(browser, url, { viewport: PHONE, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: "dark" }, seen);
    const small = await facts(phone);
    return {
      dark, light, chosen, narrowed, phone: small,
      moved: Object.keys(before).filter((id) => before[id] !== after[id]),
      charts: Object.keys(before), console: seen.console, requests: [...seen.requests],
    };
  } finally {
    await browser.close();
  }
}

async function shoot(url, file, scheme = "dark", size = "1440x900", extent = "view") {
  const [width, height] = size.split("x").map(Number);
  const browser = await launch();
  try {
    const page = await open(browser, url, { viewport: { width, height }, colorScheme: scheme, deviceScaleFactor: width < 500 ? 2 : 1 },
      { console: [], requests: new Set() });
    await page.waitForFunction(() => /\d\/min/.test(document.querySelector("#shops tbody").innerText));
    await page.screenshot({ path: file, fullPage: extent === "full" });
  } finally {
    await browser.close();
  }
}

const [what, ...rest] = process.argv.slice(2);
({ look: async () => console.log(JSON.stringify(await look(rest[0]))), shoot: () => shoot(...rest) })[what]().catch((error) => {
  console.error(error);
  process.exit(1);
});
