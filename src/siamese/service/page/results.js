import { title } from "./dom.js";

export const show = (section) => section.append(title("results", "Results", "Not made yet."));
