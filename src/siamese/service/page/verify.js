import { title } from "./dom.js";

export const show = (section) => section.append(title("verify", "Verify", "Not made yet."));
