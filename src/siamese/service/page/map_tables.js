// The map in words: how many of each class, and which test images went wrong.

import { count, counted, el } from "./dom.js";

const AT_ONCE = 50; // rows that are added at a time

/** Make the tables, filled when they are opened. Returns { node, update(map, chosen), focus }. */
export function tables() {
  let map = null, chosen = new Set();
  const classes = part("Classes in figures", fillClasses);
  const wrong = part("Test images taken for another class", fillWrong);
  const node = el("div", { class: "map-tables" }, classes.node, wrong.node);

  function update(nextMap, nextChosen) {
    map = nextMap;
    chosen = nextChosen;
    classes.refill();
    wrong.refill();
  }

  function fillClasses() {
    const rows = positions().map((position) => {
      const { gallery, enrolled, queries, wrong: failed } = map.counts[position];
      return [map.classes[position], ...[gallery, enrolled, queries, failed].map(count)];
    });
    return [table(`Images on the map${ofChosen()}`,
      ["Class", "gallery", "enrolled", "test", "of them wrong"], rows)];
  }

  function fillWrong() {
    const failed = [...map.isWrong.keys()].filter((index) =>
      map.isWrong[index] && (!chosen.size || chosen.has(map.label[index])));
    const box = table(`${counted(failed.length, "test image")} on the map${ofChosen()}`,
      ["", "Class", "taken for", "sample"], []);
    const body = box.querySelector("tbody");
    const more = el("button", { type: "button", onclick: add });
    let listed = 0;
    function add() {
      body.append(...failed.slice(listed, listed + AT_ONCE).map((index) => {
        const number = map.number[index], name = map.classes[map.label[index]];
        return el("tr", {},
          el("td", {}, el("img", { class: "pixels", src: `samples/${number}.png`, alt: "", width: 40,
            height: 40, loading: "lazy" })),
          el("th", { scope: "row" }, name),
          el("td", {}, map.classes[map.called[index]]),
          el("td", { class: "number" }, number));
      }));
      listed = Math.min(listed + AT_ONCE, failed.length);
      more.hidden = listed === failed.length;
      more.textContent = `Show ${Math.min(AT_ONCE, failed.length - listed)} more`;
    }
    add();
    return [box, more];
  }

  function positions() {
    return [...map.classes.keys()].filter((position) => !chosen.size || chosen.has(position));
  }

  function ofChosen() {
    return chosen.size ? `, of the ${counted(chosen.size, "class", "classes")} highlighted` : "";
  }

  return { node, update, focus: () => node.querySelector("summary").focus() };
}

// What can be opened; it is filled only while it is open.
function part(heading, content) {
  const body = el("div", { class: "table-box" });
  const refill = () => body.replaceChildren(...(node.open ? content() : []));
  const node = el("details", { ontoggle: refill }, el("summary", {}, heading), body);
  return { node, refill };
}

function table(caption, columns, rows) {
  const isNumber = (position) => position > 0 && columns[0] !== "";
  return el("table", {}, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, columns.map((text, position) =>
      el("th", { scope: "col", class: isNumber(position) || text === "sample" ? "number" : null },
        text || el("span", { class: "visually-hidden" }, "Image"))))),
    el("tbody", {}, rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first),
      rest.map((text) => el("td", { class: "number" }, text))))));
}
