// Which part is shown: the one that the address names, after the `#`.

import { GONE, get } from "./api.js";
import { count, el, prose, sides } from "./dom.js";

const PARTS = ["ask", "verify", "gallery", "map", "results"];
const main = document.getElementById("main");
const opened = new Map();
let shown = null;

function sectionOf(part) {
  return main.querySelector(`[data-part="${part}"]`);
}

async function fetched(part) {
  try {
    return await import(`./${part}.js`);
  } catch {
    throw new Error(GONE);
  }
}

// Each part is loaded when it is first opened.
async function load(part) {
  const section = sectionOf(part);
  section.setAttribute("aria-busy", "true");
  section.replaceChildren(); // what an earlier try left
  try {
    await (await fetched(part)).show(section);
  } catch (error) {
    section.replaceChildren(el("p", { class: "status failed", role: "alert" }, prose(error.message)));
    opened.delete(part); // opening it again tries again
  } finally {
    section.removeAttribute("aria-busy");
  }
}

/** The part that the address names; what follows, as in `#gallery/apple`, is its own. */
function current() {
  const name = location.hash.slice(1).split("/")[0];
  return PARTS.includes(name) ? name : PARTS[0];
}

function route() {
  const part = current();
  for (const name of PARTS) sectionOf(name).hidden = name !== part;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${part}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${part[0].toUpperCase()}${part.slice(1)} · siamese`;
  if (part !== shown) window.scrollTo(0, 0);
  shown = part;
  if (!opened.has(part)) opened.set(part, load(part));
}

async function summarise() {
  const gallery = await get("gallery");
  const images = gallery.pipeline + gallery.enrolled;
  const [height, width] = sides(gallery.network.image_size);
  document.documentElement.style.setProperty("--shape", width / height);
  document.getElementById("summary").textContent =
    `${count(images)} images of ${count(gallery.labels)} classes. This machine answers; no image is` +
    " sent anywhere else.";
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part after the `#` says which part is shown
  main.focus();
});
window.addEventListener("hashchange", route);
// A file that misses its place must not take the page's.
for (const name of ["dragover", "drop"]) {
  window.addEventListener(name, (event) => event.preventDefault());
}
route();
const summary = () => summarise().catch(() => {}); // the parts say what is wrong
document.addEventListener("gallery-changed", summary);
summary();
