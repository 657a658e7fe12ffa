// Training's record: loss, distances and validation by epoch, the best epoch marked.

import { el, percent, svg } from "./dom.js";

const CHARTS = [
  ["Loss", [["loss", "training"], ["validation_loss", "validation"]], (value) => value.toPrecision(3)],
  ["Distance of pairs, mean", [["like_distance", "like"], ["unlike_distance", "unlike"]],
    (value) => value.toFixed(2)],
  ["k-NN on validation, top-1", [["validation_knn", "validation"]], (value) => percent(value, 1)],
  ["Equal error rate of validation pairs", [["validation_eer", "validation"]],
    (value) => percent(value, 1)],
];
const WIDTH = 340, HEIGHT = 210, LEFT = 52, RIGHT = 14, TOP = 24, BOTTOM = 30;

/** Draw the columns that there are, and list every epoch in a table. */
export function curves({ best_epoch: best, columns }) {
  const charts = CHARTS.flatMap(([heading, lines, written]) => {
    const known = lines.filter(([name]) => columns[name]?.some((value) => value !== null));
    return known.length ? [chart(heading, known, written, best, columns)] : [];
  });
  return el("div", {}, el("div", { class: "grid curves" }, charts), table(best, columns));
}

function chart(heading, lines, written, best, columns) {
  const epochs = columns.epoch;
  const values = lines.flatMap(([name]) => columns[name]).filter((value) => value !== null);
  const first = epochs[0], last = Math.max(epochs.at(-1), first + 1);
  const ticks = rounded(Math.min(...values), Math.max(...values));
  const x = (epoch) => LEFT + (WIDTH - LEFT - RIGHT) * ((epoch - first) / (last - first));
  const y = (value) => HEIGHT - BOTTOM
    - (HEIGHT - TOP - BOTTOM) * ((value - ticks[0]) / (ticks.at(-1) - ticks[0]));
  const at = epochs.indexOf(best);
  const said = lines.map(([name, text]) => {
    const own = columns[name];
    const ofBest = own[at] === null || at < 0 ? "" : `, ${written(own[at])} in epoch ${best}, the best`;
    return `${text}: ${own[0] === null ? "none" : written(own[0])} in epoch ${first}${ofBest}`;
  });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img",
    "aria-label": `${heading}. ${said.join(". ")}.` },
  ticks.flatMap((value) => [
    svg("line", { class: "grid-line", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
    svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, written(value)),
  ]),
  svg("text", { x: LEFT, y: HEIGHT - 8 }, first === last ? "" : `epoch ${first}`),
  svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 8, "text-anchor": "end" }, epochs.at(-1)),
  at < 0 ? null : [
    svg("line", { class: "best", x1: x(best), x2: x(best), y1: TOP - 6, y2: HEIGHT - BOTTOM }),
    svg("text", { class: "best-text", x: x(best), y: TOP - 10,
      "text-anchor": x(best) > WIDTH / 2 ? "end" : "start" }, `best: epoch ${best}`),
  ],
  lines.map(([name], position) => line(columns[name], epochs, x, y, position)),
  at < 0 ? null : lines.map(([name], position) => columns[name][at] === null ? null
    : svg("circle", { class: `curve-dot curve-${position}`, cx: x(best), cy: y(columns[name][at]), r: 4 })));
  return el("figure", { class: "card curve" }, el("figcaption", {}, el("h3", {}, heading),
    el("div", { class: "small muted key curve-key" }, lines.length < 2 ? null
      : lines.map(([, text], position) => el("span", { class: `key-${position}` }, text)))), picture);
}

// A value that is missing breaks the line.
function line(values, epochs, x, y, position) {
  let path = "", isDrawing = false;
  values.forEach((value, index) => {
    if (value !== null) path += `${isDrawing ? "L" : "M"}${x(epochs[index]).toFixed(1)} ${y(value).toFixed(1)}`;
    isDrawing = value !== null;
  });
  return svg("path", { class: `curve-line curve-${position}`, d: path });
}

// Round numbers around two values, four or so.
function rounded(least, most) {
  const span = most - least || Math.abs(most) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 3));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => span / one <= 4);
  const from = Math.floor(least / step), to = Math.max(Math.ceil(most / step), from + 1);
  return Array.from({ length: to - from + 1 }, (_, index) => (from + index) * step);
}

function table(best, columns) {
  const names = Object.keys(columns);
  const cells = (index) => names.map((name) => {
    const value = columns[name][index];
    const text = value === null ? "" : String(value);
    return name === "epoch"
      ? el("th", { scope: "row" }, value === best ? `${text}, the best` : text)
      : el("td", { class: "number" }, text);
  });
  return el("details", {}, el("summary", {}, "Every epoch in figures"),
    el("div", { class: "table-box small" }, el("table", {},
      el("thead", {}, el("tr", {}, names.map((name) =>
        el("th", { scope: "col", class: name === "epoch" ? null : "number" }, name.replaceAll("_", " "))))),
      el("tbody", {}, columns.epoch.map((_, index) => el("tr", {}, cells(index)))))));
}
