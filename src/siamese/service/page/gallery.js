import { title } from "./dom.js";

export const show = (section) => section.append(title("gallery", "Gallery", "Not made yet."));
