import { title } from "./dom.js";

export const show = (section) => section.append(title("map", "Map", "Not made yet."));
