// Is the difference between two revisions real? A form, and the answer.

import { get } from "./api.js";
import { el, field, freshId, prose, statusLine } from "./dom.js";

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
    button.disabled = true; // only one is answered at a time
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
      button.disabled = false;
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
  const last = columns.length - 1;
  const kind = (position) => (position > 0 && position < last ? "number" : null);
  return [
    careful.length ? el("pre", { class: "card careful" }, careful.join("\n")) : null,
    ...conclusions.map((text) => el("p", { class: "conclusion" }, prose(text))),
    el("h3", {}, heading),
    el("div", { class: "table-box" }, el("table", {},
      el("thead", {}, el("tr", {}, columns.map((text, position) =>
        el("th", { scope: "col", class: kind(position) }, text || (position ? "verdict" : "figure"))))),
      el("tbody", {}, rows.map(({ cells, differs, is_better: isBetter }) => el("tr", {},
        cells.map((text, position) => position
          ? el("td", { class: position === last && differs
            ? (isBetter ? "right-text" : "wrong-text") : kind(position) }, text)
          : el("th", { scope: "row" }, text))))))),
    el("p", { class: "small muted" }, method),
    el("h3", {}, "What differs"),
    el("pre", { class: "card small" }, changes.join("\n")),
  ].filter(Boolean);
}
