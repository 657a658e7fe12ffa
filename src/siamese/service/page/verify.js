// Verify: do two images show the same class, or is one of the class that it claims?

import { get } from "./api.js";
import { claim } from "./claim.js";
import { choice, el, prose, title } from "./dom.js";
import { pair } from "./pair.js";
import { acceptPastes } from "./picker.js";

const WITH = { pair: "another image", claim: "all images of a class" };

/** Build the part. */
export async function show(section) {
  const thresholds = await get("thresholds");
  const parts = { pair: await pair(thresholds) };
  const shown = el("div", {}, parts.pair.node);
  let chosen = "pair";

  async function choose(name) {
    chosen = name;
    let node;
    try {
      parts[name] ??= await claim(thresholds.claims);
      ({ node } = parts[name]);
    } catch (error) {
      // Choosing it again tries again.
      node = el("p", { class: "status failed", role: "alert" }, prose(error.message));
    }
    if (chosen === name) shown.replaceChildren(node);
  }

  section.append(
    title(
      "verify",
      "Verify",
      "Do two images show the same class, or is one of the class that it claims? Distances decide," +
        " and the threshold says how often that is wrong.",
    ),
    el("div", { class: "row part-choice" }, choice("Compare an image with", WITH, chosen, choose).node),
    shown,
  );
  // Last: a part that could not be built is built again, and is to listen once.
  acceptPastes(section, (files) => parts[chosen]?.paste(files));
}
