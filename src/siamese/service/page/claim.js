// A claim: is an image of the class that it is said to be of? All images of that class decide.

import { get, post } from "./api.js";
import { count, counted, distance, el, freshId, percent, statusLine, tile } from "./dom.js";
import { acceptDrops, picker, preview, sampleStrip } from "./picker.js";

const SHOWN = 60; // references, at most
const RULES = { min: "least", mean: "mean" };

/** Build it, from the thresholds for claims; returns { node, paste(files) }. */
export async function claim(thresholds) {
  if (thresholds === null) {
    const text =
      "This model has no thresholds for claims: it is older than they are, or validation had too" +
      " few images of a class. Train it again.";
    return { node: el("p", { class: "card" }, text), paste: () => {} };
  }
  const status = statusLine();
  const id = freshId("claimed");
  const choice = el("select", { id, onchange: () => judge() });
  const frame = el(
    "figure",
    { class: "frame plain-figure" },
    el("span", { class: "no-preview" }, "none yet"),
  );
  const verdict = el("div", { class: "claim-verdict" });
  const references = el("div", { class: "card neighbours", hidden: true });
  let file = null;
  let turn = 0;

  async function list() {
    const chosen = choice.value;
    const { classes } = await get("gallery");
    choice.replaceChildren(
      el("option", { value: "" }, "choose a class"),
      ...classes.map((one) =>
        el("option", { value: one.label }, `${one.label} (${count(one.pipeline + one.enrolled)})`),
      ),
    );
    if (classes.some((one) => one.label === chosen)) choice.value = chosen;
  }

  function missing() {
    if (choice.value === "") return "Choose a class";
    return file === null ? "Give an image" : "No answer";
  }

  async function judge() {
    turn += 1;
    const mine = turn;
    const label = choice.value;
    const isWhole = label !== "" && file !== null;
    verdict.replaceChildren(el("h2", {}, isWhole ? "Comparing…" : missing()));
    references.hidden = true;
    if (label === "") return;
    try {
      const [rows, [answer]] = await Promise.all([
        get("gallery/rows", { label, limit: SHOWN }),
        isWhole ? post("verify", [file], { label }) : [null],
      ]);
      if (mine !== turn) return;
      references.replaceChildren(...shown(label, rows, answer?.nearest));
      references.hidden = false;
      if (!isWhole) return;
      verdict.replaceChildren(...said(answer));
      status.say(sentence(answer));
    } catch (error) {
      if (mine !== turn) return;
      verdict.replaceChildren(el("h2", {}, missing()));
      status.fail(error);
    }
  }

  function place(given, truth = null) {
    file = given;
    frame.replaceChildren(
      preview(file, { alt: `The image: ${file.name}`, class: "pixels" }),
      el(
        "figcaption",
        {},
        truth === null ? null : el("span", { class: "tile-name" }, truth),
        el("span", { class: "tile-more" }, file.name),
      ),
    );
    judge();
  }

  await list();
  const strip = await sampleStrip({
    shown: 6,
    heading: "Of the test split",
    onpick: place,
    onerror: status.fail,
  });
  const side = el(
    "section",
    { class: "card side", "aria-label": "Image and class" },
    el("div", { class: "field" }, el("label", { for: id }, "The class that it claims"), choice),
    el(
      "div",
      { class: "side-in" },
      frame,
      picker({
        text: "Choose an image",
        hint: "or drop or paste one",
        onimages: ([one]) => place(one),
      }),
    ),
    strip,
  );
  acceptDrops(side, ([one]) => place(one));
  document.addEventListener("gallery-changed", () => list().then(judge).catch(status.fail));
  await judge();
  const node = el(
    "div",
    {},
    el("div", { class: "grid sides" }, side, el("div", { class: "card" }, verdict)),
    status.node,
    references,
  );
  return { node, paste: ([one]) => place(one) };
}

function sentence(answer) {
  return `${answer.accepted ? "Accepted" : "Rejected"} as ${answer.label}: ${distance(answer.distance)} apart.`;
}

function said(answer) {
  const against = counted(answer.calibrated_references, "image");
  return [
    el("h2", { class: "verdict" }, answer.accepted ? "Accepted" : "Rejected"),
    el(
      "p",
      {},
      `As ${answer.label}: the ${RULES[answer.rule]} distance to` +
        ` ${counted(answer.references, "image")} is ${distance(answer.distance)},` +
        ` ${answer.accepted ? "within" : "beyond"} the threshold of ${distance(answer.threshold)}.` +
        ` Of validation claims against ${against}, at this threshold:`,
    ),
    el(
      "ul",
      { class: "rates" },
      el("li", {}, el("strong", {}, percent(answer.far, 2)), " of false claims are accepted"),
      el("li", {}, el("strong", {}, percent(answer.frr, 2)), " of true claims are rejected"),
    ),
    answer.is_copy ? el("p", {}, "The gallery has an exact copy of this image.") : null,
  ].filter((one) => one !== null);
}

// The nearest comes first; numbers of enrolled rows are text.
function shown(label, { total, rows }, nearest) {
  const others = rows.filter((row) => !nearest || String(row.number) !== String(nearest.number));
  const first = nearest ? [nearest] : [];
  const part = total > SHOWN ? `, of which ${SHOWN} are shown` : "";
  return [
    el("h3", {}, `${counted(total, "image")} of ${label}${part}`),
    el(
      "ul",
      { class: "tiles" },
      [...first, ...others].slice(0, SHOWN).map((row) => el("li", {}, reference(row))),
    ),
  ];
}

function reference(row) {
  return tile({
    src: `gallery/images/${row.number}.png`,
    alt: `${row.label}: ${row.file || row.number}`,
    lines: [
      row.distance === undefined ? null : `nearest, ${distance(row.distance)}`,
      row.source === "enrolled" ? row.source : null,
    ],
  });
}
