// Gallery: its classes and images, what made it, and what was enrolled.

import { get } from "./api.js";
import {
  count,
  counted,
  debounced,
  distance,
  el,
  field,
  percent,
  sides,
  statusLine,
  tile,
  title,
} from "./dom.js";
import { removal, writing } from "./enrol.js";

const FITTED = {
  pad: "edges repeated where a picture is too short",
  crop: "the middle of a picture",
  ink: "what is written, black on white",
};
const CLASSES_AT_ONCE = 120;
const IMAGES_AT_ONCE = 60;

/** Build the part. */
export async function show(section) {
  let gallery = await get("gallery");
  let listed = null; // the gallery that the overview shows
  const status = statusLine();
  const overview = el("div");
  const opened = el("div");

  // After a change, what had the focus is gone.
  async function reload() {
    gallery = await get("gallery");
    const label = openedClass();
    if (label !== null && !classOf(gallery, label)) history.replaceState(null, "", "#gallery");
    await draw();
    if (label === null) overview.querySelector("input").focus(); // of the form, which is made anew
    else focus(label);
  }

  async function draw() {
    const label = openedClass();
    if (!section.hidden) document.title = `${label === null ? "" : `${label} · `}Gallery · siamese`;
    overview.hidden = label !== null;
    opened.hidden = label === null;
    if (label !== null) {
      const content = await oneClass(gallery, label, status, reload);
      if (openedClass() === label) opened.replaceChildren(...content); // else another was opened
    } else if (listed !== gallery) {
      // Else it is as it was left, with what was searched for.
      overview.replaceChildren(
        el("div", { class: "grid" }, facts(gallery), writing(gallery, status, reload)),
        classes(gallery),
      );
      listed = gallery;
    }
  }

  section.append(
    title("gallery", "Gallery", "The labelled images that answers come from."),
    status.node,
    overview,
    opened,
  );
  // Of the list, the class that was left has the focus; where it is not shown, the search.
  function focus(left) {
    if (openedClass() !== null) opened.querySelector("h2")?.focus();
    else if (left !== null) {
      const links = [...overview.querySelectorAll(".class-link")];
      const link = links.find((one) => one.getAttribute("href") === addressOf(left));
      (link ?? overview.querySelector("input[type=search]")).focus();
    }
  }

  window.addEventListener("hashchange", (event) => {
    // A part that could not be built is built again: this one's nodes are gone then.
    if (section.hidden || !overview.isConnected) return;
    const { hash } = new URL(event.oldURL);
    status.say("");
    draw()
      .then(() => focus(hash.startsWith("#gallery/") ? openedClass(hash) : null))
      .catch(status.fail);
  });
  await draw();
}

function openedClass(hash = location.hash) {
  const at = hash.indexOf("/");
  const name = at === -1 ? "" : hash.slice(at + 1);
  if (!name) return null;
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // typed by hand; no class is called so
  }
}

function classOf(gallery, label) {
  return gallery.classes.find((one) => one.label === label);
}

function addressOf(label) {
  return `#gallery/${encodeURIComponent(label)}`;
}

function startedFrom({ source, license }) {
  return `${source} (license: ${license || "not known"})`;
}

function facts(gallery) {
  const { network } = gallery;
  const rows = [
    ["Images", `${count(gallery.pipeline)} of the pipeline, ${count(gallery.enrolled)} enrolled`],
    ["Classes", count(gallery.labels)],
    ["Network", network.architecture],
    ...(network.origin ? [["Trained from", startedFrom(network.origin)]] : []),
    ["Input", `${sides(network.image_size).join(" × ")} pixels, ${FITTED[network.fit]}`],
    ["Embedding", `${network.embedding_dim} numbers${network.normalize ? ", of length 1" : ""}`],
    ["Model", el("code", { title: gallery.model }, gallery.model.slice(0, 12))],
    [
      "Unlike anything",
      gallery.novelty_distance === null
        ? "never said: the gallery has no limit"
        : `farther than ${distance(gallery.novelty_distance)} from all (${percent(gallery.novelty_share, 1)}` +
          " of validation is nearer)",
    ],
    [
      "Search",
      gallery.index === null
        ? "exact"
        : `${gallery.index.kind}, finds ${percent(gallery.index.recall, 1)} of the ten nearest`,
    ],
  ];
  return el(
    "section",
    { class: "card", "aria-label": "What made it" },
    el("h2", {}, "What made it"),
    el(
      "dl",
      { class: "facts" },
      rows.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]).flat(),
    ),
  );
}

function classes(gallery) {
  const grid = el("ul", { class: "tiles classes" });
  const more = el(
    "button",
    { type: "button", onclick: () => grow()[0].querySelector("a").focus() },
    "Show more",
  );
  const found = el("p", { class: "status", role: "status" });
  const search = field("Search classes", { type: "search", oninput: debounced(() => draw(), 120) });
  let matching = [];
  let drawn = 0;

  function draw() {
    const words = search.input.value
      .toLowerCase()
      .split(/[\s_]+/)
      .filter(Boolean);
    matching = gallery.classes.filter((one) =>
      words.every((word) => one.label.toLowerCase().includes(word)),
    );
    found.textContent = `${count(matching.length)} of ${counted(gallery.classes.length, "class", "classes")}`;
    grid.replaceChildren();
    drawn = 0;
    grow();
  }

  function grow() {
    const added = matching.slice(drawn, drawn + CLASSES_AT_ONCE).map(classTile);
    grid.append(...added);
    drawn = Math.min(matching.length, drawn + CLASSES_AT_ONCE);
    more.hidden = drawn === matching.length;
    return added;
  }

  draw();
  return el(
    "div",
    { class: "part-below" },
    el("h2", {}, "Classes"),
    el("div", { class: "row" }, search.node, found),
    grid,
    more,
  );
}

function classTile(one) {
  const counts = [
    one.pipeline && count(one.pipeline),
    one.enrolled && `${count(one.enrolled)} enrolled`,
  ];
  const shown = tile({
    src: `gallery/images/${one.example}.png`,
    alt: "",
    lines: [one.label, counts.filter(Boolean).join(" + ")],
  });
  return el("li", {}, el("a", { class: "class-link", href: addressOf(one.label) }, shown));
}

async function oneClass(gallery, label, status, reload) {
  const found = classOf(gallery, label);
  const back = el("p", {}, el("a", { href: "#gallery" }, "← All classes"));
  const heading = el("h2", { tabindex: "-1", class: "verdict" }, label);
  if (!found) return [back, heading, el("p", {}, "The gallery has no such class.")];
  const grid = el("ul", { class: "tiles" });
  const more = el(
    "button",
    { type: "button", onclick: () => press().catch(status.fail) },
    "Show more",
  );
  let drawn = 0;

  async function grow() {
    const part = await get("gallery/rows", { label, offset: drawn, limit: IMAGES_AT_ONCE });
    const added = part.rows.map((row) =>
      el("li", { tabindex: "-1" }, rowTile(row, gallery.writable, status, reload)),
    );
    grid.append(...added);
    drawn += IMAGES_AT_ONCE;
    more.hidden = drawn >= part.total;
    return added;
  }

  // Not `disabled`, which would take the focus; it goes to the first image that is new.
  async function press() {
    if (more.ariaDisabled === "true") return;
    more.ariaDisabled = "true";
    try {
      (await grow())[0]?.focus();
    } finally {
      more.ariaDisabled = "false";
    }
  }

  await grow();
  const text = `${count(found.pipeline)} of the pipeline, ${count(found.enrolled)} enrolled`;
  const remove =
    found.enrolled && gallery.writable
      ? removal({
          text: `Remove ${found.enrolled === 1 ? "the enrolled image" : `all ${count(found.enrolled)} enrolled`}`,
          question: `Remove the ${counted(found.enrolled, "enrolled image")} of ${label}?`,
          fields: { label },
          status,
          reload,
        })
      : null;
  return [
    back,
    heading,
    el("div", { class: "row opened-head" }, el("p", { class: "muted" }, text), remove),
    grid,
    more,
  ];
}

function rowTile(row, writable, status, reload) {
  const shown = tile({
    src: `gallery/images/${row.number}.png`,
    alt: `${row.label}: ${row.file || row.number}`,
    lines: row.source === "enrolled" ? [row.file, "enrolled"] : [row.file],
  });
  if (row.source === "enrolled" && writable) {
    shown.append(
      removal({
        text: "Remove",
        question: `Remove this image of ${row.label}?`,
        fields: { number: row.number },
        status,
        reload,
      }),
    );
  }
  return shown;
}
