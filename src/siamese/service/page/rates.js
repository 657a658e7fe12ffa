// The drawing of false accepts and false rejects by threshold, with a pair's distance on it.

import { distance as written, el, svg } from "./dom.js";

// Of the drawing, on a desk and on a phone: scaled far down, its text would be too small to read.
const WIDE = 480;
const NARROW = 340;
const HEIGHT = 300;
const LEFT = 44;
const RIGHT = 12;
const TOP = 34;
const BOTTOM = 44;
const ZONE = 70; // of the least that has room for its word

/** Draw a curve once; `update({ threshold, distance })` moves the marks. Returns { node, update }. */
export function drawing(curve) {
  const most = Math.max(...curve.threshold);
  const narrow = matchMedia("(max-width: 600px)");
  let width = WIDE;
  let end = most;
  let marks = null;
  const x = (value) => LEFT + (width - LEFT - RIGHT) * (Math.max(0, value) / end);
  const y = (rate) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rate;

  const picture = svg("svg", { class: "chart", role: "img" });
  const node = el(
    "figure",
    { class: "plain-figure" },
    picture,
    el(
      "figcaption",
      { class: "small muted key" },
      el("span", { class: "key-far" }, "false accepts"),
      el("span", { class: "key-frr" }, "false rejects"),
    ),
  );

  function update({ threshold, distance }) {
    marks = { threshold, distance };
    width = narrow.matches ? NARROW : WIDE;
    picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    end = Math.max(most, distance ?? 0) * 1.02;
    const bottom = y(0);
    const parts = [
      svg("rect", {
        class: "same-zone",
        x: x(0),
        y: y(1),
        width: x(threshold) - x(0),
        height: bottom - y(1),
      }),
      axes(x, y, end),
      line(curve.threshold, curve.far, x, y, "far"),
      line(curve.threshold, curve.frr, x, y, "frr"),
      svg("line", { class: "threshold", x1: x(threshold), x2: x(threshold), y1: y(1), y2: bottom }),
      x(threshold) - x(0) < ZONE ? [] : zone(x(threshold) - 8, "end", "the same"),
      x(end) - x(threshold) < ZONE ? [] : zone(x(threshold) + 8, "start", "different"),
      label(x(threshold), TOP - 8, width, `threshold ${written(threshold)}`, "threshold-text"),
    ];
    if (distance !== null) {
      parts.push(
        svg("line", { class: "apart", x1: x(distance), x2: x(distance), y1: y(1), y2: bottom }),
        svg("circle", { class: "apart-dot", cx: x(distance), cy: bottom, r: 6 }),
        label(x(distance), TOP - 22, width, `this pair ${written(distance)}`, "apart-text"),
      );
    }
    picture.setAttribute(
      "aria-label",
      "Rates of false accepts and false rejects by threshold." +
        ` The threshold is ${written(threshold)}` +
        `${distance === null ? "" : `, the distance of this pair ${written(distance)}`}.`,
    );
    picture.replaceChildren(...parts.flat());
  }

  narrow.addEventListener("change", () => marks && update(marks));
  return { node, update };
}

function axes(x, y, end) {
  const parts = [];
  for (const rate of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(
      svg("line", {
        class: rate ? "grid-line" : "axis",
        x1: x(0),
        x2: x(end),
        y1: y(rate),
        y2: y(rate),
      }),
      svg("text", { x: LEFT - 8, y: y(rate) + 4, "text-anchor": "end" }, `${100 * rate} %`),
    );
  }
  const step = [0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 50, 100].find((one) => end / one <= 8) ?? end;
  for (let at = 0; at <= end; at += step) {
    parts.push(
      svg(
        "text",
        { x: x(at), y: y(0) + 18, "text-anchor": "middle" },
        String(Number(at.toFixed(2))),
      ),
    );
  }
  parts.push(
    svg("text", { x: (x(0) + x(end)) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "distance"),
  );
  return parts;
}

function line(thresholds, rates, x, y, name) {
  const points = thresholds.map(
    (value, index) => `${x(value).toFixed(1)},${y(rates[index]).toFixed(1)}`,
  );
  return svg("polyline", { class: `rate ${name}`, points: points.join(" ") });
}

// What a pair on this side of the threshold is called.
function zone(at, anchor, text) {
  return svg("text", { class: "zone-text", x: at, y: TOP + 18, "text-anchor": anchor }, text);
}

// Text beside a vertical line, on the side with more room.
function label(at, height, width, text, name) {
  const turned = at > width * 0.6;
  return svg(
    "text",
    { class: name, x: at + (turned ? -2 : 2), y: height, "text-anchor": turned ? "end" : "start" },
    text,
  );
}
