// The gallery in two dimensions: which points are shown, in which colours, and what each one is.

import { get } from "./api.js";
import { choice, count, counted, el, percent, prose, title } from "./dom.js";
import { SHAPES, scatter } from "./scatter.js";
import { tables } from "./map_tables.js";

const METHODS = { pca: "PCA", tsne: "t-SNE" };
const SHOWN = { gallery: "Gallery", queries: "Test images", wrong: "Only the wrong ones" };
const CARD_GAP = 12, CARD_EDGE = 6; // pixels from the point, and from the edge of the map
const HUES = 24; // more classes than this are told apart by highlighting, not by colour

export async function show(section) {
  // Not `statusLine`, which would scroll down to itself when the map is there.
  const status = el("p", { class: "status", role: "status", "aria-live": "polite" });
  const card = el("div", { class: "map-card", hidden: true });
  const view = scatter({ label: "Map of the images. Arrows move, plus and minus zoom, 0 shows all."
    + " The tables below say the same in words.", onpoint: describe });
  const legend = el("ul", { class: "legend" });
  const search = el("input", { type: "search", id: "map-search", autocomplete: "off",
    placeholder: "bear", oninput: list, onkeydown: takeOnly });
  const found = el("p", { class: "small muted", role: "status" });
  const clear = el("button", { type: "button", class: "plain", hidden: true,
    onclick: showAlike }, "Show all classes alike");
  const missing = el("p", { class: "card careful", role: "status", hidden: true });
  const notes = el("div", { class: "small muted map-notes" });
  const inWords = tables();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = new Set(); // positions of the classes that are highlighted
  let map = null, method = "pca", described = -1; // the point on the card
  let isStale = false, countShown = 0;
  const shown = { gallery: true, queries: true, wrong: false };

  const methods = choice("Arranged by", METHODS, method, async (name) => {
    if (!await load(name)) methods.set(method);
  });
  const boxes = Object.keys(SHOWN).map((name) => el("input", { type: "checkbox", id: `map-${name}`,
    value: name, checked: shown[name], onchange: chooseShown }));
  const toggles = boxes.map((box) =>
    el("label", { class: "check", for: box.id }, box, SHOWN[box.value]));

  section.append(
    title("map", "Map", "Images that the network takes for alike lie close together. Point at one to"
      + " see it; drag to move; zoom with Ctrl and the wheel, or by pinching. Once the map is clicked,"
      + " the wheel alone zooms. Search for classes, and Enter highlights all that are found."),
    el("div", { class: "map" },
      el("div", { class: "map-main" },
        el("div", { class: "row map-controls" }, methods.node,
          el("fieldset", { class: "checks" }, el("legend", {}, "Show"), toggles)),
        el("div", { class: "map-box" }, view.node, card,
          el("div", { class: "map-zoom" },
            button("+", "Zoom in", () => view.zoom(1.5)),
            button("−", "Zoom out", () => view.zoom(1 / 1.5)),
            button("⤢", "Show the whole map", view.whole))),
        el("p", { class: "marks small muted" },
          mark("disc", "gallery"), mark("square", "enrolled"), mark("ring", "test image"),
          mark("cross", "test image taken for another class")),
        status, missing, notes),
      el("div", { class: "map-side" },
        el("div", { class: "field" }, el("label", { for: search.id }, "Classes"), search),
        found, clear,
        el("button", { type: "button", class: "plain", onclick: inWords.focus }, "To the tables"),
        el("div", { class: "legend-box", tabindex: 0, role: "group", "aria-label":
          "Classes; press one to highlight it" }, legend))),
    inWords.node);
  dark.addEventListener("change", colour);
  document.addEventListener("gallery-changed", () => {
    isStale = true;
    renew();
  });
  window.addEventListener("hashchange", renew);
  await load(method);

  // Images were enrolled or removed: ask again, but not before somebody looks.
  function renew() {
    if (isStale && !section.hidden) load(method);
  }

  // Returns whether there is such a map.
  async function load(name) {
    say("Placing the images…");
    isStale = false;
    missing.hidden = true;
    let answer;
    try {
      answer = await get("map", { method: name });
    } catch (error) {
      say(error.message, true);
      return false;
    }
    if (answer.missing) {
      missing.replaceChildren(...prose(answer.missing));
      missing.hidden = false;
      sayShown();
      return false;
    }
    const names = [...chosen].map((position) => map.classes[position]);
    map = withCounts(answer);
    method = name;
    chosen.clear(); // positions may mean other classes
    for (const label of names) if (map.classes.includes(label)) chosen.add(map.classes.indexOf(label));
    described = -1;
    view.setPoints({ x: map.x, y: map.y, shape: map.shape });
    colour();
    apply();
    notes.replaceChildren(...[...map.notes, axes(map)].filter(Boolean).map((text) => el("p", {}, prose(text))));
    return true;
  }

  function say(text, failed = false) {
    status.replaceChildren(...prose(text));
    status.classList.toggle("failed", failed);
  }

  // How many images are shown, if not all.
  function sayShown() {
    const all = map?.x.length ?? 0;
    if (!map) say("");
    else if (!countShown) say("Nothing is chosen to be shown.");
    else if (countShown < all) say(`Shown: ${count(countShown)} of ${counted(all, "image")}.`);
    else say(`${counted(all, "image")} of ${counted(map.classes.length, "class", "classes")}.`);
  }

  function chooseShown() {
    for (const box of boxes) shown[box.value] = box.checked;
    for (const box of boxes) box.disabled = shown.wrong && box.value !== "wrong";
    apply();
  }

  function showAlike(event) {
    choose([...chosen], false);
    // The button is gone. By keyboard, as a pointer's focus would open the keyboard of a phone.
    if (!event.detail) search.focus();
  }

  function colour() {
    if (!map) return;
    map.colours = coloursOf(map, dark.matches);
    view.setColours(map.colours, dark.matches ? "#32353c" : "#dddbd4");
    list();
  }

  // What is shown has changed, or what is highlighted.
  function apply() {
    if (!map) return;
    const others = map.classes.length;
    const isShown = Uint8Array.from(map.kind, (kind, index) => {
      if (shown.wrong) return map.isWrong[index];
      return kind === map.query ? shown.queries : shown.gallery;
    });
    const row = Uint16Array.from(map.label, (label) => !chosen.size || chosen.has(label) ? label : others);
    countShown = isShown.reduce((sum, one) => sum + one, 0);
    view.setShown(isShown, row);
    sayShown();
    list();
    clear.hidden = !chosen.size;
    inWords.update(map, chosen);
  }

  function choose(positions, isOn) {
    for (const position of positions) {
      if (isOn) chosen.add(position);
      else chosen.delete(position);
    }
    apply();
  }

  // The classes that the search matches, below their superclass where there is one.
  function list() {
    if (!map) return;
    const matching = matches();
    const groups = new Map();
    for (const position of matching) {
      const name = map.superclasses[map.superclass[position]] ?? "";
      groups.set(name, [...(groups.get(name) ?? []), position]);
    }
    const focused = document.activeElement?.dataset?.entry;
    legend.replaceChildren(...[...groups].sort().flatMap(([name, positions]) => [
      name && entry(name, members(positions[0]), "superclass"),
      ...positions.map((position) => entry(map.classes[position], [position], "class")),
    ]).filter(Boolean));
    if (focused) legend.querySelector(`[data-entry="${CSS.escape(focused)}"]`)?.focus();
    found.textContent = search.value.trim() ? counted(matching.length, "class", "classes") : "";
  }

  // All classes of the superclass of one of them.
  function members(position) {
    return [...map.classes.keys()].filter((one) => map.superclass[one] === map.superclass[position]);
  }

  function matches() {
    const wanted = search.value.trim().toLowerCase();
    const isLike = (name) => (name ?? "").toLowerCase().includes(wanted);
    return [...map.classes.keys()].filter((position) =>
      isLike(map.classes[position]) || isLike(map.superclasses[map.superclass[position]]));
  }

  function takeOnly(event) {
    if (event.key !== "Enter" || !map) return;
    const matching = matches();
    if (!search.value.trim() || !matching.length) return;
    chosen.clear();
    choose(matching, true);
  }

  function entry(text, positions, kind) {
    const isOn = positions.every((position) => chosen.has(position));
    const total = positions.reduce((sum, position) => sum + map.counts[position].total, 0);
    const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = map.colours[positions[Math.floor(positions.length / 2)]];
    return el("li", { class: kind }, el("button", {
      type: "button", "aria-pressed": String(isOn), "data-entry": `${kind} ${text}`,
      onclick: () => choose(positions, !isOn),
    }, swatch, el("span", { class: "legend-name" }, text), el("span", { class: "muted" }, count(total))));
  }

  // Beside the point that is meant: its image and what it is.
  function describe(index, x, y) {
    card.hidden = index < 0;
    if (index < 0) return;
    if (described !== index) fillCard(index);
    described = index;
    // Its size is known once it is filled.
    card.style.left = `${beside(x, view.node.clientWidth, card.offsetWidth)}px`;
    card.style.top = `${beside(y, view.node.clientHeight, card.offsetHeight)}px`;
  }

  function fillCard(index) {
    const isQuery = map.kind[index] === map.query;
    const number = map.number[index];
    const name = map.classes[map.label[index]];
    const what = isQuery ? "test image" : map.kind[index] ? "enrolled" : "gallery";
    const called = map.called[index];
    card.replaceChildren(
      el("img", { class: "pixels", width: 96, height: 96, alt: `${what} of ${name}`,
        src: isQuery ? `samples/${number}.png` : `gallery/images/${number}.png` }),
      el("p", {}, el("strong", {}, name), el("span", { class: "muted" }, what),
        called < 0 ? null : map.isWrong[index]
          ? el("span", { class: "wrong-text" }, `taken for ${map.classes[called]}`)
          : el("span", { class: "right-text" }, "recognised")));
  }
}

// Where the card begins, along one axis: on the side of the point where there is more room.
function beside(place, room, size) {
  const begin = place > room / 2 ? place - size - CARD_GAP : place + CARD_GAP;
  return Math.max(CARD_EDGE, Math.min(begin, room - size - CARD_EDGE));
}

function axes({ explained }) {
  if (!explained) return "Near neighbours are kept together; distances between groups mean little.";
  const [first, second] = explained;
  return `The two directions in which the gallery varies most, ${percent(first + second)} of its`
    + " variance. What is far apart here is far apart; what is near may be far apart in others.";
}

// The answer, with what is derived from it once.
function withCounts(answer) {
  const query = answer.kinds.indexOf("query"), enrolled = answer.kinds.indexOf("enrolled");
  const isWrong = Uint8Array.from(answer.called, (called, index) => called >= 0 && called !== answer.label[index]);
  const shape = answer.kind.map((kind, index) => {
    if (isWrong[index]) return SHAPES.cross;
    if (kind === query) return SHAPES.ring;
    return kind === enrolled ? SHAPES.square : SHAPES.disc;
  });
  const counts = answer.classes.map(() => ({ total: 0, gallery: 0, enrolled: 0, queries: 0, wrong: 0 }));
  answer.label.forEach((label, index) => {
    const one = counts[label];
    one.total += 1;
    if (answer.kind[index] === query) one.queries += 1;
    else if (answer.kind[index] === enrolled) one.enrolled += 1;
    else one.gallery += 1;
    one.wrong += isWrong[index];
  });
  return { ...answer, query, isWrong, shape, counts };
}

// A superclass has a hue, its classes have lighter and darker ones of it; without superclasses,
// classes have a hue each.
function coloursOf({ classes, superclass, superclasses }, isDark) {
  const members = new Map();
  superclass.forEach((one, position) => {
    const group = one < 0 ? `alone ${position}` : one;
    members.set(group, [...(members.get(group) ?? []), position]);
  });
  const colours = new Array(classes.length);
  const middle = isDark ? 0.74 : 0.6;
  const few = members.size <= HUES || superclasses.length > 0;
  [...members.values()].forEach((positions, group) => {
    const hue = (25 + (360 * group) / members.size) % 360;
    const lift = few ? 0 : ((group % 3) - 1) * 0.1; // neighbours in hue differ in lightness
    positions.forEach((position, index) => {
      const spread = positions.length > 1 ? index / (positions.length - 1) - 0.5 : 0;
      colours[position] = `oklch(${(middle + lift + 0.2 * spread).toFixed(3)} 0.145 ${hue.toFixed(1)})`;
    });
  });
  return colours;
}

function button(text, label, onclick) {
  return el("button", { type: "button", "aria-label": label, title: label, onclick }, text);
}

function mark(shape, text) {
  return el("span", { class: "mark" }, el("span", { class: `mark-${shape}`, "aria-hidden": "true" }), text);
}
