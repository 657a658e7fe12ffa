// Elements, figures and small parts that the page's modules share.

/**
 * Make an element. A property that starts with `on` is a listener; `class`, `aria-…`, `data-…` and
 * the rest are attributes, left out if null or false. Children are nodes or text.
 */
export function el(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** Make an element of SVG, as `el` does. */
export function svg(name, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), properties, children);
}

function fill(node, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

let made = 0;

/** An id that the page does not have yet. */
export function freshId(prefix) {
  made += 1;
  return `${prefix}-${made}`;
}

/** Height and width of the network's input, which is one number if they are the same. */
export function sides(size) {
  return Array.isArray(size) ? size : [size, size];
}

/** 50000 as 50,000. */
export function count(number) {
  return Number(number).toLocaleString("en");
}

/** A number and its noun: 1 image, 2 images. */
export function counted(number, noun, plural = `${noun}s`) {
  return `${count(number)} ${number === 1 ? noun : plural}`;
}

/** A share as per cent: 0.25 as 25 %. */
export function percent(share, digits = 0) {
  return `${(100 * share).toFixed(digits)} %`;
}

/** A distance, to three places. */
export function distance(value) {
  return value.toFixed(3);
}

/** A function that is called once its calls have paused. */
export function debounced(call, milliseconds = 200) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), milliseconds);
  };
}

/** The heading of a part, and a sentence on what it is for. */
export function title(part, text, lead) {
  return el(
    "header",
    { class: "part-title" },
    el("h1", { id: `${part}-title` }, text),
    el("p", { class: "lead" }, lead),
  );
}

/**
 * A line that says what goes on; screen readers read each new text. `fail` says an error. `renew`
 * says it where it stands, without scrolling to it.
 */
export function statusLine() {
  const node = el("p", { class: "status", role: "status", "aria-live": "polite" });
  const renew = (text) => {
    node.replaceChildren(...[text].flat());
    node.classList.remove("failed");
  };
  const say = (text) => {
    renew(text);
    if (text) node.scrollIntoView({ block: "nearest" }); // what was pressed may be far below
  };
  const fail = (error) => {
    say(prose(error.message));
    node.classList.add("failed");
  };
  return { node, say, renew, fail };
}

/** A labelled input of one line: { input, node }. */
export function field(text, properties) {
  const id = freshId("field");
  const input = el("input", { id, ...properties });
  return { input, node: el("div", { class: "field" }, el("label", { for: id }, text), input) };
}

/**
 * A labelled slider, a native input. `shown` gives the text beside it; `onslide` is called while it
 * moves. Returns { node, input, set(value), limits(min, max) }.
 */
export function slider({ label, min, max, step = 1, value, shown = String, onslide }) {
  const id = freshId("slider");
  const output = el("output", { for: id });
  const input = el("input", { id, type: "range", min, max, step });
  const show = () => {
    output.textContent = shown(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  const set = (next) => {
    input.value = next;
    show();
  };
  const limits = (least, most) => {
    input.min = least;
    input.max = most;
    show();
  };
  input.addEventListener("input", () => {
    onslide(Number(input.value));
    show(); // what it says may follow from that
  });
  set(value);
  const node = el(
    "div",
    { class: "slider" },
    el("div", { class: "slider-text" }, el("label", { for: id }, label), output),
    input,
  );
  return { node, input, set, limits };
}

/**
 * One of several, as native radio buttons: `options` are texts by name, and `onchoose` gets the name.
 * Returns { node, set(name) }.
 */
export function choice(label, options, value, onchoose) {
  const group = freshId("choice");
  const inputs = Object.keys(options).map((name) =>
    el("input", {
      type: "radio",
      name: group,
      id: `${group}-${name}`,
      value: name,
      checked: name === value,
      onchange: () => onchoose(name),
    }),
  );
  const node = el(
    "fieldset",
    { class: "checks" },
    el("legend", {}, label),
    inputs.map((input) =>
      el("label", { class: "check", for: input.id }, input, options[input.value]),
    ),
  );
  const set = (name) => {
    for (const input of inputs) input.checked = input.value === name;
  };
  return { node, set };
}

/**
 * An image with a caption below. `mark` is "right", "wrong" or null; its word is in the caption,
 * so that colour is not all that tells.
 */
export function tile({ src, alt, lines = [], mark = null, lazy = true }) {
  const picture = el("img", { loading: lazy ? "lazy" : null, src, alt, class: "pixels" });
  return el(
    "figure",
    { class: `tile${mark ? ` ${mark}` : ""}` },
    picture,
    el(
      "figcaption",
      {},
      lines
        .filter(Boolean)
        .map((line, index) => el("span", { class: index ? "tile-more" : "tile-name" }, line)),
    ),
  );
}

/** A sentence of the service as nodes: what stands in `backticks` is code. */
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}
