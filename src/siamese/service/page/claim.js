// A claim: is an image of the class that it is said to be of? All images of that class decide.

import { get, post } from "./api.js";
import { count, counted, distance, el, freshId, percent, prose, tile } from "./dom.js";
import { acceptDrops, picker, preview, sampleStrip } from "./picker.js";

const SHOWN = 24; // references, at most
const RULES = { min: "least", mean: "mean", relative: "relative" };
const FALSE_ONES = { forgery: "forgeries", stranger: "strangers" };
const UNCALIBRATED =
  "This model has no thresholds for claims: it is older than they are, or validation had too few" +
  " images of a class. Train it again.";

/** Build it, from the thresholds for claims; returns { node, paste(files) }. */
export async function claim(thresholds) {
  if (thresholds === null) return { node: el("p", { class: "card" }, UNCALIBRATED), paste: () => {} };
  const id = freshId("claimed");
  const choice = el("select", { id, onchange: () => judge() });
  const none = el("span", { class: "no-preview" }, "none yet");
  const frame = el("figure", { class: "frame plain-figure" }, none);
  const verdict = el("div", { class: "claim-verdict", role: "status" });
  const references = el("div", { class: "neighbours" });
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

  function say(...content) {
    verdict.replaceChildren(...content);
    verdict.scrollIntoView({ block: "nearest" }); // on a phone it is below
  }

  function fail(error) {
    say(el("h2", {}, "No answer"), el("p", { class: "failed" }, prose(error.message)));
  }

  async function judge() {
    turn += 1;
    const mine = turn;
    const label = choice.value;
    references.replaceChildren();
    if (label === "") return say(el("h2", {}, "Choose a class"));
    say(el("h2", {}, file === null ? "Give an image" : "Comparing…"));
    try {
      const [rows, answers] = await Promise.all([
        get("gallery/rows", { label, limit: SHOWN }),
        file === null ? [] : post("verify", [file], { label }),
      ]);
      if (mine !== turn) return undefined;
      references.replaceChildren(...shown(label, rows, answers[0]?.nearest));
      if (answers.length) say(...said(answers[0]));
    } catch (error) {
      if (mine === turn) fail(error);
    }
    return undefined;
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
    onerror: fail,
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
  document.addEventListener("gallery-changed", () => list().then(judge).catch(fail));
  await judge();
  const node = el(
    "div",
    { class: "grid sides" },
    side,
    el("div", { class: "card" }, verdict, references),
  );
  return { node, paste: ([one]) => place(one) };
}

function said(answer) {
  const content = [
    el("h2", { class: "verdict" }, `${answer.accepted ? "Accepted" : "Rejected"} as ${answer.label}`),
    el(
      "p",
      {},
      `The ${RULES[answer.rule]} distance to ${counted(answer.references, "image")} is` +
        ` ${distance(answer.distance)}, ${answer.accepted ? "within" : "beyond"} the threshold of` +
        ` ${distance(answer.threshold)}. Of validation claims against` +
        ` ${counted(answer.calibrated_references, "image")}, at this threshold:`,
    ),
    el(
      "ul",
      { class: "rates" },
      el("li", {}, el("strong", {}, percent(answer.far, 2)), ` of the ${FALSE_ONES[answer.against]} are accepted`),
      el("li", {}, el("strong", {}, percent(answer.frr, 2)), " of the true ones are rejected"),
    ),
  ];
  if (answer.is_copy) content.push(el("p", {}, "The gallery has an exact copy of this image."));
  return content;
}

// The nearest comes first; numbers of enrolled rows are text.
function shown(label, { total, rows }, nearest) {
  const others = rows.filter((row) => !nearest || String(row.number) !== String(nearest.number));
  const first = nearest ? [nearest] : [];
  const heading = el("h3", {}, `${counted(total, "image")} of ${label}`);
  const tiles = [...first, ...others].slice(0, SHOWN).map((row) => el("li", {}, reference(row)));
  const all = el("a", { href: `#gallery/${encodeURIComponent(label)}` }, "All of them");
  return [heading, el("ul", { class: "tiles" }, tiles), ...(total > SHOWN ? [el("p", {}, all)] : [])];
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
