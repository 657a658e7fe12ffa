// Do two images show the same class, and how often is that answer wrong?

import { post } from "./api.js";
import { debounced, distance, el, percent, slider, statusLine } from "./dom.js";
import { acceptDrops, picker, preview, sampleStrip } from "./picker.js";
import { drawing } from "./rates.js";

const SIDES = ["First image", "Second image"];

/** Build it, from the thresholds of the service; returns { node, paste(files) }. */
export async function pair(calibration) {
  const { curve } = calibration;
  const status = statusLine();
  const verdict = el("div", { class: "verdict-box" });
  const picture = drawing(curve);
  const given = [null, null];
  let threshold = calibration.accuracy;
  let apart = null;
  let waiting = false;
  let turn = 0;

  const least = Math.log10(Math.min(...curve.far.filter((rate) => rate > 0)));
  const last = curve.threshold.length - 1;
  const byThreshold = slider({
    label: "Threshold",
    min: 0,
    max: Math.ceil(100 * curve.threshold[last]) / 100,
    step: 0.001,
    value: threshold,
    shown: distance,
    onslide: (value) => decideBy(value, byThreshold),
  });
  const byRate = slider({
    label: "False-accept rate, at most",
    min: least,
    max: 0,
    step: "any",
    value: Math.log10(rateAt(curve, "far", threshold)),
    shown: () => share(rateAt(curve, "far", threshold)), // not its place: no power of ten is 0
    onslide: (power) => decideBy(thresholdFor(curve, 10 ** power), byRate),
  });

  function decideBy(value, source) {
    threshold = value;
    if (source !== byThreshold) byThreshold.set(value);
    if (source !== byRate) {
      byRate.set(Math.log10(Math.max(rateAt(curve, "far", value), 10 ** least)));
    }
    tell();
    sayAgain();
  }

  // Once the slider rests, or a screen reader would read every step.
  const sayAgain = debounced(() => apart !== null && status.renew(sentence()));

  function decided() {
    return apart <= threshold ? "The same class" : "Different classes";
  }

  function sentence() {
    return `${decided()}: ${distance(apart)} apart.`;
  }

  function missing() {
    if (given.includes(null)) return "Give two images";
    return waiting ? "Comparing…" : "No answer";
  }

  function preset(text, value) {
    return el("button", { type: "button", onclick: () => decideBy(value, null) }, text);
  }

  function tell() {
    const far = rateAt(curve, "far", threshold);
    const frr = rateAt(curve, "frr", threshold);
    picture.update({ threshold, distance: apart });
    const rates = el(
      "ul",
      { class: "rates" },
      el(
        "li",
        {},
        el("strong", {}, share(far)),
        " of pairs of different classes are taken for the same (false accepts)",
      ),
      el(
        "li",
        {},
        el("strong", {}, share(frr)),
        " of pairs of one class are taken for different (false rejects)",
      ),
    );
    const said =
      apart === null
        ? [
            el("h2", {}, missing()),
            el("p", { class: "muted" }, "At this threshold, of the validation pairs:"),
          ]
        : [
            el("h2", { class: "verdict" }, decided()),
            el(
              "p",
              {},
              `They are ${distance(apart)} apart, ` +
                `${apart <= threshold ? "within" : "beyond"} the threshold of ${distance(threshold)}. Of` +
                " validation pairs, at this threshold:",
            ),
          ];
    verdict.replaceChildren(...said, rates);
  }

  async function compare() {
    turn += 1;
    const mine = turn;
    apart = null;
    if (given.includes(null)) return tell();
    status.say("Comparing…");
    waiting = true;
    try {
      const answer = await post("verify", given);
      if (mine !== turn) return undefined;
      waiting = false;
      apart = answer.distance;
      tell();
      status.say(sentence());
    } catch (error) {
      if (mine !== turn) return undefined;
      waiting = false;
      tell();
      status.fail(error);
    }
    return undefined;
  }

  async function side(index) {
    const frame = el("figure", { class: "frame plain-figure" });
    const place = (file, truth = null) => {
      given[index] = file;
      frame.replaceChildren(
        preview(file, { alt: `${SIDES[index]}: ${file.name}`, class: "pixels" }),
        el(
          "figcaption",
          {},
          truth === null ? null : el("span", { class: "tile-name" }, truth),
          el("span", { class: "tile-more" }, file.name),
        ),
      );
      compare();
    };
    frame.append(el("span", { class: "no-preview" }, "none yet"));
    const strip = await sampleStrip({
      shown: 6,
      heading: "Of the test split",
      onpick: place,
      onerror: status.fail,
    });
    const node = el(
      "section",
      { class: "card side", "aria-label": SIDES[index] },
      el("h2", {}, SIDES[index]),
      el(
        "div",
        { class: "side-in" },
        frame,
        picker({
          text: "Choose an image",
          hint: "or drop or paste one",
          onimages: ([file]) => place(file),
        }),
      ),
      strip,
    );
    acceptDrops(node, ([file]) => place(file));
    return { node, place };
  }

  const sides = await Promise.all(SIDES.map((_, index) => side(index)));
  const node = el(
    "div",
    {},
    el(
      "div",
      { class: "grid sides" },
      sides.map((one) => one.node),
    ),
    status.node,
    el(
      "div",
      { class: "grid" },
      el(
        "div",
        { class: "card" },
        verdict,
        byThreshold.node,
        byRate.node,
        el(
          "div",
          { class: "row" },
          preset("Most pairs right", calibration.accuracy),
          preset("Equal error rates", calibration.eer),
        ),
      ),
      el("div", { class: "card" }, picture.node),
    ),
  );
  tell();
  // What is pasted goes to a side that has none, else to where the focus is.
  function paste(files) {
    const empty = given.indexOf(null);
    const focused = sides.findIndex((one) => one.node.contains(document.activeElement));
    const first = Math.max(0, empty >= 0 ? empty : focused);
    files.slice(0, 2).forEach((file, index) => sides[(first + index) % 2].place(file));
  }
  return { node, paste };
}

function share(rate) {
  return percent(rate, rate < 0.01 ? 2 : 1);
}

/** The rate at a threshold, linear between two points of the curve, as the service has it. */
export function rateAt(curve, name, threshold) {
  const x = curve.threshold;
  const y = curve[name];
  const above = x.findIndex((value) => value >= threshold);
  if (above === -1) return y[y.length - 1];
  if (above === 0) return y[0];
  const part = (threshold - x[above - 1]) / (x[above] - x[above - 1]);
  return y[above - 1] + part * (y[above] - y[above - 1]);
}

/** The highest threshold of the curve with at most that false-accept rate, as the service has it. */
export function thresholdFor(curve, far) {
  // The slider's powers of ten are rounded: a rate of the curve is to count as itself.
  const allowed = curve.threshold.filter(
    (value, index) => value >= 0 && curve.far[index] <= far * (1 + 1e-9),
  );
  return allowed.length ? Math.max(...allowed) : 0;
}
