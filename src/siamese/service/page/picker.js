// The ways in for an image: choose, drop, paste, or take one of the test split.

import { get, image } from "./api.js";
import { counted, el, freshId } from "./dom.js";

/** A place to choose images or drop them; `onimages` gets the files. */
export function picker({ text, hint, multiple = false, onimages }) {
  const id = freshId("files");
  const input = el("input", {
    id,
    type: "file",
    accept: "image/*",
    multiple,
    class: "visually-hidden",
    onchange: () => {
      onimages([...input.files]);
      input.value = ""; // the same file may be chosen again
    },
  });
  const node = el(
    "div",
    { class: "drop" },
    input,
    el("label", { for: id, class: "button" }, text),
    el("p", { class: "small muted" }, hint),
  );
  acceptDrops(node, (files) => onimages(multiple ? files : files.slice(0, 1)));
  return node;
}

/** Call `onimages` with images that are dropped on `node`, but for those that a child has taken. */
export function acceptDrops(node, onimages) {
  const over = (event) => {
    event.preventDefault();
    node.classList.add("over");
  };
  node.addEventListener("dragenter", over);
  node.addEventListener("dragover", over);
  node.addEventListener("dragleave", (event) => {
    if (!node.contains(event.relatedTarget)) node.classList.remove("over");
  });
  node.addEventListener("drop", (event) => {
    const taken = event.defaultPrevented;
    event.preventDefault();
    node.classList.remove("over");
    if (taken) return;
    const files = [...event.dataTransfer.files];
    if (files.length) onimages(files);
  });
}

/** Call `onimages` with images that are pasted while `section` is shown. */
export function acceptPastes(section, onimages) {
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (section.hidden || !files.length) return;
    event.preventDefault();
    onimages(files);
  });
}

/** An image that the user gave, as `src` of one that is shown. */
export function preview(file, properties = {}) {
  const source = URL.createObjectURL(file);
  const node = el("img", {
    src: source,
    class: "pixels",
    ...properties,
    onload: () => URL.revokeObjectURL(source),
    // A TIFF, for one: the service reads it, browsers do not.
    onerror: () => node.replaceWith(el("span", { class: "no-preview" }, "no preview")),
  });
  return node;
}

/**
 * A strip of `shown` test images, drawn at random; `onpick` gets a file and its class. Returns null
 * where there is no test split.
 */
export async function sampleStrip({ shown, heading, onpick, onerror }) {
  const labels = await get("samples/labels");
  if (!labels.length) return null;
  const total = labels.reduce((sum, one) => sum + one.samples, 0);
  const id = freshId("class");
  const choice = el(
    "select",
    { id, onchange: () => draw() },
    el("option", { value: "" }, "any class"),
    labels.map((one) => el("option", { value: one.label }, one.label)),
  );
  const list = el("ul", { class: "strip" });

  async function draw() {
    const chosen = labels.find((one) => one.label === choice.value);
    const most = Math.max(0, (chosen ? chosen.samples : total) - shown);
    const offset = Math.floor(Math.random() * (most + 1));
    try {
      const drawn = await get("samples", { label: choice.value, offset, limit: shown });
      list.replaceChildren(...drawn.samples.map(button));
    } catch (error) {
      onerror(error);
    }
  }

  function button(sample) {
    const path = `samples/${sample.sample}.png`;
    const pick = async () => {
      try {
        onpick(new File([await image(path)], sample.file || `${sample.sample}.png`), sample.label);
      } catch (error) {
        onerror(error);
      }
    };
    return el(
      "li",
      {},
      el(
        "button",
        { class: "sample", type: "button", title: sample.label, onclick: pick },
        el("img", { src: path, alt: "", class: "pixels" }),
        el("span", {}, sample.label),
      ),
    );
  }

  await draw();
  return el(
    "div",
    { class: "samples" },
    el(
      "div",
      { class: "samples-head" },
      el("h2", {}, heading),
      el("p", { class: "small muted" }, `${counted(total, "image")} that training did not see`),
    ),
    list,
    el(
      "div",
      { class: "row" },
      el("div", { class: "field inline" }, el("label", { for: id }, "Class"), choice),
      el("button", { type: "button", onclick: draw }, "Draw others"),
    ),
  );
}
