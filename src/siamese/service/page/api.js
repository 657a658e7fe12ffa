// What the service is asked, and how its answers are read.

export const GONE = "The service does not answer. Is it still running?";

// Numbers of enrolled rows exceed 2^53. They only name rows, so they stay text, exact.
const LARGE = /(^|[[:,])\s*-?\d{16,}/;
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Read JSON; an integer that a double cannot hold becomes a string of its digits. */
export function parse(text) {
  if (!LARGE.test(text)) return JSON.parse(text);
  const exact = text.replace(TOKEN, (token) =>
    /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${token}"` : token,
  );
  return JSON.parse(exact);
}

/** Ask for JSON, with parameters of the query; those that are null or empty are left out. */
export function get(path, query = {}, options = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== "");
  const text = new URLSearchParams(given).toString();
  return request(text ? `${path}?${text}` : path, options);
}

/** Send images (Files) and fields as a form; returns JSON. Fields that are null are left out. */
export function post(path, images, fields = {}, options = {}) {
  const form = new FormData();
  for (const file of images) form.append("images", file);
  for (const [name, value] of Object.entries(fields)) {
    if (value !== null) form.append(name, value);
  }
  return request(path, { ...options, method: "POST", body: form });
}

/** The headers of a request that writes. */
export function authorized(token) {
  if (!/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(token)) {
    throw new Error("A token is of printable ASCII characters."); // no other can be sent
  }
  return { Authorization: `Bearer ${token}` };
}

/** Fetch an image of the service as a Blob. */
export async function image(path) {
  return (await answer(path, {})).blob();
}

async function request(path, options) {
  return parse(await (await answer(path, options)).text());
}

// Throws an Error whose message is a sentence to show, with the answer's `status` if there was one;
// an AbortError is passed on.
async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(GONE);
  }
  if (response.ok) return response;
  let detail;
  try {
    ({ detail } = await response.json());
  } catch {
    // Not of the service: a proxy between, perhaps.
  }
  const { status } = response;
  const text = typeof detail === "string" ? detail : `the service answered ${status}`;
  throw Object.assign(new Error(sentence(text)), { status });
}

// The service's sentences begin small; one that begins with the name of a file keeps it.
function sentence(text) {
  const begun = text.replace(/^[a-z]+ /, (word) => word[0].toUpperCase() + word.slice(1));
  return begun.endsWith(".") ? begun : `${begun}.`;
}
