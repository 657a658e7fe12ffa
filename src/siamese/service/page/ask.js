// Ask: what is this, and what resembles it?

import { get, post } from "./api.js";
import {
  count,
  counted,
  debounced,
  distance,
  el,
  percent,
  prose,
  slider,
  statusLine,
  tile,
  title,
} from "./dom.js";
import { acceptDrops, acceptPastes, picker, preview, sampleStrip } from "./picker.js";

const MOST_NEIGHBOURS = 100;
const USUAL = 20; // as the command line has it

/** Build the part. */
export async function show(section) {
  const rows = await countRows();
  const status = statusLine();
  const cards = el("div", { class: "answers" });
  const asked = []; // { file, truth, card, turn }

  const k = slider({
    label: "Nearest images that vote",
    min: 1,
    max: mostNeighbours(rows),
    value: Math.min(USUAL, mostNeighbours(rows)),
    onslide: debounced(() => askAll(asked)),
  });
  const clear = el("button", { type: "button", onclick: () => reset() }, "Clear");
  const tools = el("div", { class: "tools", hidden: true }, k.node, clear);

  function reset() {
    asked.length = 0;
    cards.replaceChildren();
    tools.hidden = true;
    status.say("");
    section.querySelector("input[type=file]").focus();
  }

  function add(files, truth = null) {
    const added = files.map((file) => {
      const one = { file, truth, card: el("article", { class: "card answer" }), turn: 0 };
      one.card.append(head(one, el("p", { class: "muted" }, "Asking…")));
      return one;
    });
    asked.unshift(...added);
    cards.prepend(...added.map((one) => one.card));
    tools.hidden = false;
    return askAll(added);
  }

  async function askAll(images) {
    status.say(`Asking about ${counted(images.length, "image")}…`);
    const answers = await Promise.all(images.map(ask));
    const good = answers.filter((answer) => answer !== null);
    if (good.length < images.length) {
      status.fail(new Error(`${counted(images.length - good.length, "image")} got no answer.`));
    } else if (good.length === 1) status.say(sentence(good[0]));
    else status.say(`${counted(good.length, "image")} answered.`);
  }

  // One request an image, so that one that cannot be read does not keep the others from an answer.
  async function ask(one) {
    one.turn += 1;
    const turn = one.turn;
    one.card.setAttribute("aria-busy", "true");
    let answer = null;
    let content;
    try {
      [answer] = await post("classify", [one.file], { k: k.input.value });
      content = answered(one, answer);
    } catch (error) {
      content = [head(one, el("h2", {}, "No answer"), el("p", { class: "failed" }, prose(error.message)))];
    }
    if (turn === one.turn) {
      // else the slider has moved on
      one.card.replaceChildren(...content);
      one.card.removeAttribute("aria-busy");
    }
    return answer;
  }

  const heading = title("ask", "Ask", lead(rows));

  async function renew() {
    const now = await countRows();
    heading.querySelector(".lead").textContent = lead(now);
    k.limits(1, mostNeighbours(now));
  }

  section.append(
    heading,
    el(
      "div",
      { class: "grid ways-in" },
      picker({
        text: "Choose images",
        hint: "or drop them here, or paste one",
        multiple: true,
        onimages: add,
      }),
    ),
    status.node,
    tools,
    cards,
  );
  const strip = await sampleStrip({
    shown: 8,
    heading: "Or take one of the test split",
    onpick: (file, truth) => add([file], truth),
    onerror: status.fail,
  });
  if (strip) section.querySelector(".ways-in").append(strip);
  // Last: a part that could not be built is built again, and is to listen once.
  acceptDrops(section, add);
  acceptPastes(section, add);
  document.addEventListener("gallery-changed", () => renew().catch(status.fail));
}

async function countRows() {
  const gallery = await get("gallery");
  return gallery.pipeline + gallery.enrolled;
}

function mostNeighbours(rows) {
  return Math.max(1, Math.min(MOST_NEIGHBOURS, rows));
}

function lead(rows) {
  return `What is this? The nearest of ${count(rows)} images vote on its class.`;
}

function sentence(answer) {
  if (answer.is_novel) return "Unlike anything in the gallery.";
  return `${answer.label}, ${percent(answer.votes[0].share)} of ${counted(answer.neighbours.length, "vote")}.`;
}

function head(one, ...text) {
  return el(
    "div",
    { class: "answer-head" },
    preview(one.file, { alt: `The image asked about: ${one.file.name}`, class: "pixels asked" }),
    el("div", { class: "answer-text" }, text, el("p", { class: "small muted" }, one.file.name)),
  );
}

function answered(one, answer) {
  const nearest = answer.neighbours[0];
  const limit = answer.novelty_distance;
  const name = answer.is_novel ? "Unlike anything in the gallery" : answer.label;
  const lines = [el("h2", { class: "verdict" }, name)];
  if (answer.is_novel) {
    lines.push(
      el(
        "p",
        {},
        `The nearest image is ${distance(nearest.distance)} away. Beyond` +
          ` ${distance(limit)} an image counts as unlike all of them. The votes, all the same:`,
      ),
    );
  } else if (limit !== null) {
    lines.push(
      el(
        "p",
        { class: "muted small" },
        `The nearest image is ${distance(nearest.distance)}` +
          ` away. Beyond ${distance(limit)} it would be unlike anything.`,
      ),
    );
  }
  if (one.truth !== null) lines.push(judgement(one.truth, answer.label));
  return [
    el("div", {}, head(one, ...lines), votes(answer)),
    el(
      "div",
      { class: "neighbours" },
      el("h3", {}, `The ${counted(answer.neighbours.length, "nearest image")}`),
      el(
        "ul",
        { class: "tiles" },
        answer.neighbours.map((row) => el("li", {}, neighbour(row, one.truth))),
      ),
    ),
  ];
}

function judgement(truth, label) {
  const right = truth === label;
  return el(
    "p",
    { class: `judged ${right ? "right" : "wrong"}` },
    right ? `✓ Right: it is ${truth}` : `✗ Wrong: it is ${truth}`,
  );
}

// The answer has the classes with the most votes; the others are one bar.
function votes(answer) {
  const rest = 1 - answer.votes.reduce((sum, vote) => sum + vote.share, 0);
  const bars = answer.votes.map((vote) => bar(vote.label, vote.share));
  if (rest > 1e-6) bars.push(bar("other classes", rest, "muted"));
  return el("ol", { class: "bars", "aria-label": "Votes" }, bars);
}

function bar(name, part, kind = null) {
  const fill = el("span");
  fill.style.width = `${100 * part}%`;
  return el(
    "li",
    { class: kind },
    el("span", { class: "bar-name" }, name),
    el("span", { class: "bar", "aria-hidden": "true" }, fill),
    el("span", { class: "bar-share" }, percent(part)),
  );
}

function neighbour(row, truth) {
  const mark = truth === null ? null : truth === row.label ? "right" : "wrong";
  const sign = { right: "✓ ", wrong: "✗ " }[mark] ?? "";
  return tile({
    src: `gallery/images/${row.number}.png`,
    alt: `${row.label}: ${row.file || "an image of the gallery"}`,
    lines: [
      sign + row.label,
      distance(row.distance),
      row.source === "enrolled" ? row.source : null,
    ],
    mark,
  });
}
