// Charts of the last hours as SVG, each with a table behind it that says the same.

import { element } from "../dom.js";
import { clock, count, milliseconds, moment, size } from "./words.js";

const WIDTH = 600, HEIGHT = 120;
/** Over so many points without a measurement a line goes on. */
const BRIDGED = 4;
const CHARTS = [
  { title: "Turns", of: "turns", form: "bars", unit: count, names: ["answered", "cancelled", "failed"],
    values: (one) => [one.done, one.cancelled, one.failed] },
  { title: "Queue wait", of: "turns", form: "lines", unit: milliseconds, names: ["half of the turns", "95 of 100"],
    values: (one) => [one.wait?.p50_ms ?? null, one.wait?.p95_ms ?? null] },
  { title: "First token", of: "turns", form: "lines", unit: milliseconds, names: ["half of the turns", "95 of 100"],
    values: (one) => [one.first_token?.p50_ms ?? null, one.first_token?.p95_ms ?? null] },
  { title: "Tokens per second", of: "turns", form: "lines", unit: (one) => (one === null ? "–" : one.toFixed(1)), names: ["of one reply"],
    values: (one) => [one.tokens_per_s] },
  { title: "Failures", of: "turns", form: "bars", unit: count, names: ["tried again", "cancelled", "failed"], hides: [1],
    values: (one) => [one.retried, 0, one.failed] },
  { title: "Memory of Redis", of: "memory", form: "area", unit: size, names: ["used"], values: (one) => [one.used_bytes] },
];

/** Draw all charts into `place`. */
export function draw(place, series) {
  const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.of));
  place.replaceChildren(...CHARTS.map((chart) => figure(chart, series[chart.of], open.has(chart.title))));
}

function figure(chart, points, isOpen) {
  const rows = points.map((one) => ({ at: one.at, values: chart.values(one) }));
  const most = highest(chart, rows);
  const known = rows.some((row) => row.values.some((one) => one !== null));
  const shown = chart.names.map((name, at) => ({ name, at })).filter(({ at }) => !chart.hides?.includes(at));
  const legend = element("ul", { class: "legend" }, ...shown.map(({ name, at }) => element("li", { class: `series-${at + 1}` }, name)));
  return element("figure", {},
    element("figcaption", {}, element("h3", {}, chart.title), legend),
    known ? plot(chart, rows, most, shown) : element("p", { class: "faint small" }, "Nothing was measured yet; a snapshot is taken every minute."),
    known ? table(chart, rows, shown, isOpen) : null);
}

function highest(chart, rows) {
  const sums = rows.map(({ values }) => chart.form === "bars" ? values.reduce((sum, one) => sum + one, 0) : Math.max(...values.map((one) => one ?? 0)));
  return Math.max(...sums, chart.form === "bars" ? 1 : 0.001) * (chart.form === "bars" ? 1 : 1.1);
}

function plot(chart, rows, most, shown) {
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": inWords(chart, rows, shown) });
  for (const part of [0, 0.5, 1]) svg.append(node("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part }));
  const [from, to] = [rows[0].at, rows.at(-1).at];
  const seconds = to - from < 600_000 ? "2-digit" : undefined;
  const x = (at) => (to === from ? WIDTH : (at - from) / (to - from) * WIDTH);
  const y = (value) => HEIGHT - value / most * HEIGHT;
  if (chart.form === "bars") bars(svg, rows, y);
  else for (const { at } of shown) svg.append(...line(chart, rows, at, x, y));
  return element("div", { class: "plot" }, svg,
    element("span", { class: "most", "aria-hidden": "true" }, chart.unit(chart.form === "bars" ? most : most / 1.1)),
    element("div", { class: "axis", "aria-hidden": "true" }, element("span", {}, clock(from, seconds)), element("span", {}, clock(to, seconds))));
}

function bars(svg, rows, y) {
  const wide = WIDTH / rows.length;
  rows.forEach(({ values }, place) => {
    let sum = 0;
    values.forEach((value, at) => {
      if (!value) return;
      const top = y(sum + value), low = y(sum);
      svg.append(node("rect", { class: `bar series-${at + 1}`, x: place * wide + wide * 0.1, width: wide * 0.8, y: top, height: low - top }));
      sum += value;
    });
  });
}

function line(chart, rows, at, x, y) {
  const points = rows.flatMap((row, place) => (row.values[at] === null ? [] : [{ place, spot: `${x(row.at).toFixed(1)} ${y(row.values[at]).toFixed(1)}` }]));
  // Where nothing was measured for long the line has a gap, and a point alone is a dot.
  const runs = [];
  for (const point of points) {
    if (runs.length && point.place - runs.at(-1).at(-1).place <= BRIDGED) runs.at(-1).push(point);
    else runs.push([point]);
  }
  const drawn = (kind, found) => node("path", { class: `line ${kind} series-${at + 1}`, d: found.map((run) => `M${run.map((one) => one.spot).join("L")}${run.length > 1 ? "" : "h.01"}`).join("") });
  const lines = [drawn("", runs.filter((run) => run.length > 1)), drawn("dot", runs.filter((run) => run.length === 1))];
  if (chart.form === "area" && points.length) {
    lines.unshift(node("path", { class: "area", d: `M${points.map((one) => one.spot).join("L")}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z` }));
  }
  return lines;
}

function inWords(chart, rows, shown) {
  const last = shown.map(({ name, at }) => {
    const found = rows.map((row) => row.values[at]).filter((one) => one !== null);
    const most = Math.max(...found);
    return found.length ? `${name}: last ${chart.unit(found.at(-1))}, at most ${chart.unit(most)}` : `${name}: not measured`;
  });
  return `${chart.title} from ${clock(rows[0].at)} to ${clock(rows.at(-1).at)}. ${last.join("; ")}.`;
}

function table(chart, rows, shown, isOpen) {
  const head = ["Until", ...shown.map(({ name }) => name)].map((one, at) => element("th", { scope: "col", class: at ? "number" : "" }, one));
  const body = rows.toReversed().map((row) => element("tr", {}, element("td", {}, moment(row.at)),
    ...shown.map(({ at }) => element("td", { class: "number" }, chart.unit(row.values[at])))));
  return element("details", { "data-of": chart.title, open: isOpen }, element("summary", {}, "As a table"),
    element("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": `${chart.title}, as a table` },
      element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body))));
}

function node(tag, facts) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(facts)) made.setAttribute(name, value);
  return made;
}
