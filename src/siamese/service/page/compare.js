// Is the difference between two revisions real? A form, and the answer.

import { get } from "./api.js";
import { counted, el, field, freshId, prose, statusLine } from "./dom.js";

/** Make the form. Returns { node, suggest(names) }. */
export function comparison() {
  const status = statusLine();
  const answer = el("div", {});
  const names = el("datalist", { id: freshId("revisions") });
  const given = { type: "text", list: names.id, required: true, autocomplete: "off", spellcheck: "false" };
  const base = field("Base", { ...given, value: "HEAD" });
  const head = field("Head", { ...given, value: "workspace" });
  const button = el("button", { class: "primary" }, "Compare");
  const form = el("form", { class: "row", onsubmit: submit }, base.node, head.node, button, names);

  async function submit(event) {
    event.preventDefault();
    if (button.ariaDisabled) return; // only one is answered at a time
    button.ariaDisabled = "true"; // `disabled` would take the focus away
    answer.replaceChildren();
    status.say("Comparing, query by query…");
    try {
      const found = await get("results/compare", {
        base: base.input.value.trim(), head: head.input.value.trim() });
      status.say(`${found.base} against ${found.head}.`);
      answer.replaceChildren(...shown(found));
    } catch (error) {
      status.fail(error);
    } finally {
      button.ariaDisabled = null;
    }
  }

  function suggest(others) {
    const all = new Set(["workspace", "HEAD", "HEAD~1", ...others]);
    names.replaceChildren(...[...all].map((value) => el("option", { value })));
  }

  suggest([]);
  const node = el("div", {}, el("p", { class: "muted" }, "A Git revision, an experiment, or the workspace."
    + " One run of each tells whether two models differ; several runs of each, separated by commas,"
    + " whether a setting makes a difference."), form, status.node, answer);
  return { node, suggest };
}

function shown({ careful, changes, heading, columns, rows, conclusions, method }) {
  const [, ...numbers] = columns.slice(0, -1);
  return [
    careful.length ? el("pre", { class: "card careful" }, prose(careful.join("\n"))) : null,
    ...conclusions.map((text) => el("p", { class: "conclusion" }, prose(text))),
    el("h3", {}, prose(heading)),
    el("div", { class: "table-box compared" }, el("table", {},
      el("thead", {}, el("tr", {}, ["figure", "verdict"].map((text) => el("th", { scope: "col" }, text)),
        numbers.map((text) => el("th", { scope: "col", class: "number" }, text)))),
      el("tbody", {}, rows.map(compared)))),
    el("p", { class: "small muted" }, prose(method)),
    el("details", {}, el("summary", {}, `What differs: ${counted(changes.length, "line")}`),
      el("pre", { class: "card small" }, prose(changes.join("\n")))),
  ].filter(Boolean);
}

// The verdict comes before the numbers: on a phone these lie off to the right.
function compared({ label, cells, differs, is_better: isBetter }) {
  const verdict = differs ? (isBetter ? "right-text" : "wrong-text") : null;
  const dotted = label === cells[0] ? null : el("code", { class: "muted" }, cells[0]);
  return el("tr", {}, el("th", { scope: "row" }, label, dotted), el("td", { class: verdict }, cells.at(-1)),
    cells.slice(1, -1).map((text) => el("td", { class: "number" }, text)));
}
