import { title } from "./dom.js";

export const show = (section) => section.append(title("ask", "Ask", "Not made yet."));
