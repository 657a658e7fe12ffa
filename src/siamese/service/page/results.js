// The figures of the project, its pictures, its training and its experiments.

import { get } from "./api.js";
import { comparison } from "./compare.js";
import { curves } from "./curves.js";
import { count, el, percent, prose, svg, title } from "./dom.js";

const PICTURES = {
  training: "The curve of the training",
  confusion: "Which classes are taken for which",
  neighbours: "Test images and their nearest in the gallery",
  mistakes: "The most confident mistakes",
  verification: "Verification: the ROC, the DET curve, and distances of like and unlike pairs",
  near_duplicates: "Test images and their near-duplicates in the gallery",
};

export async function show(section) {
  section.append(title("results", "Results", "The figures of the test split beside what costs no"
    + " learning, how training went, and whether a difference is more than chance."));
  const parts = {
    figures: part("Figures"), training: part("Training"), pictures: part("Pictures"),
    experiments: part("Experiments"), comparison: part("Is the difference real?"),
  };
  section.append(...Object.values(parts).map(({ node }) => node));
  const form = comparison();
  parts.comparison.body.append(form.node);
  const known = new Map(); // answers that are shown, as text
  // The pipeline may have run since the part was last open.
  window.addEventListener("hashchange", () => section.hidden || load());
  await load();

  function load() {
    return Promise.all([
      fill("results", [parts.figures, parts.pictures], (answer) => [
        answer.missing ? [el("p", {}, prose(answer.missing))] : figures(answer),
        [pictures(answer.pictures)],
      ]),
      fill("results/training", [parts.training], (answer) => [
        [answer.missing ? el("p", {}, prose(answer.missing)) : curves(answer)],
      ]),
      fill("results/experiments", [parts.experiments], (answer) => {
        form.suggest((answer.rows ?? []).map(({ name }) => name));
        return [[answer.missing ? el("p", {}, prose(answer.missing)) : experiments(answer)]];
      }),
    ]);
  }

  // One route that fails leaves the others' parts as they are; what is as before is left alone, too.
  async function fill(route, filled, content) {
    try {
      const answer = await get(route);
      const text = JSON.stringify(answer);
      if (known.get(route) === text) return;
      content(answer).forEach((nodes, position) => filled[position].body.replaceChildren(...nodes));
      known.set(route, text);
    } catch (error) {
      known.delete(route);
      for (const { body } of filled) {
        body.replaceChildren(el("p", { class: "status failed", role: "alert" }, error.message));
      }
    }
  }
}

function part(heading) {
  const body = el("div", {});
  return { body, node: el("section", { class: "result" }, el("h2", {}, heading), body) };
}

function figures({ origin, topics, promises, remarks, best, worst, confused, trained }) {
  const careful = origin.length
    && el("div", { class: "card careful", role: "note" }, origin.map((text) => el("p", {}, prose(text))));
  const body = topics.flatMap(({ title: heading, values }) => [
    el("tr", { class: "topic" }, el("th", { colspan: 4, scope: "rowgroup" }, heading)),
    ...values.map(figure),
  ]);
  const table = el("table", { class: "figures" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Figure"),
      el("th", { scope: "col", class: "number" }, "value"),
      el("th", { scope: "col", class: "number" }, "95 % interval"),
      el("th", { scope: "col", class: "scale" }, el("span", { class: "visually-hidden" }, "Drawn")))),
    el("tbody", {}, body));
  const texts = [...remarks, trained].map((text) => el("p", { class: "muted" }, `${text}.`));
  const classes = best.length
    ? el("div", { class: "grid result-classes" }, classTable("Best classes", best),
      classTable("Worst classes", worst), confused.length ? confusedTable(confused) : null)
    : null;
  const kept = promises.length ? promiseTable(promises) : null;
  return [careful || null, el("div", { class: "table-box" }, table), kept, ...texts, classes].filter(Boolean);
}

// What thresholds promised on validation, and what they do on test.
function promiseTable(rows) {
  const number = (value) => el("td", { class: "number" }, percent(value, 2));
  return el("div", { class: "card table-box" }, el("table", {},
    el("caption", {}, "Thresholds, calibrated on validation: what they promised, and what they do on test"),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Threshold of"),
      ["false accepts promised", "done", "false rejects promised", "done"].map(
        (text) => el("th", { scope: "col", class: "number" }, text)))),
    el("tbody", {}, rows.map((one) => el("tr", {}, el("th", { scope: "row" }, one.label),
      [one.promised_far, one.far, one.promised_frr, one.frr].map(number))))));
}

function figure({ label, value, interval }) {
  const isFloor = label.includes("(floor)");
  return el("tr", { class: isFloor ? "floor" : null },
    el("th", { scope: "row" }, label),
    el("td", { class: "number" }, percent(value, 2)),
    el("td", { class: "number muted" }, interval && interval.map((bound) => percent(bound, 2)).join(" to ")),
    el("td", { class: "scale" }, bar(value, interval, isFloor)));
}

// From 0 to 100 %: the value, and its interval as a band.
function bar(value, interval, isFloor) {
  const [low, high] = interval ?? [value, value];
  return svg("svg", { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "scale-track", x: 0, y: 5, width: 100, height: 2 }),
    svg("rect", { class: isFloor ? "scale-floor" : "scale-value", x: 0, y: 4, width: 100 * value, height: 4 }),
    interval && svg("rect", { class: "scale-band", x: 100 * low, y: 1, width: Math.max(100 * (high - low), 0.4),
      height: 10 }));
}

function classTable(caption, rows) {
  return el("div", { class: "card table-box" }, el("table", {}, el("caption", {}, caption),
    el("thead", { class: "visually-hidden" }, el("tr", {}, ["Class", "recognised", "most taken for"].map(
      (text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, rows.map(({ class: name, accuracy, queries, confused, confused_with: other }) => el("tr", {},
      el("th", { scope: "row" }, name), el("td", { class: "number" }, percent(accuracy, 1)),
      el("td", { class: "muted small" }, other ? `${confused} of ${count(queries)} as ${other}` : ""))))));
}

function confusedTable(rows) {
  return el("div", { class: "card table-box" }, el("table", {}, el("caption", {}, "Most confused, in both directions"),
    el("tbody", {}, rows.map(({ classes, queries }) => el("tr", {},
      el("th", { scope: "row" }, classes.join(" / ")), el("td", { class: "number" }, count(queries)))))));
}

function pictures(drawn) {
  if (!drawn.length) {
    return el("p", {}, prose("There are no pictures here. `dvc repro` draws them, `dvc pull` fetches them."));
  }
  return el("div", { class: "pictures" }, drawn.map(({ name, stamp }) => {
    const src = `results/pictures/${name}.png?${stamp}`; // another address for another picture
    return el("a", { href: src }, el("img", { src, alt: "", loading: "lazy" }), PICTURES[name]);
  }));
}

function experiments({ columns, rows }) {
  const last = columns.length - 1;
  const isNumber = (position) => position > 0 && position < last;
  return el("div", { class: "table-box" }, el("table", {},
    el("caption", {}, "Per cent, each experiment below the commit that it began at"),
    el("thead", {}, el("tr", {}, columns.map((text, position) =>
      el("th", { scope: "col", class: isNumber(position) ? "number" : "changes" }, text || "Experiment")))),
    el("tbody", {}, rows.map(({ name, is_baseline: isBaseline, cells }) => el("tr", {},
      el("th", { scope: "row", class: isBaseline ? null : "experiment" }, name),
      cells.map((text, index) =>
        el("td", { class: isNumber(index + 1) ? "number" : "changes" }, text)))))));
}
