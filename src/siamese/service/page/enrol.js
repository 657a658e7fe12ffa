// What writes to the gallery: enrolling and removing, with the token.

import { authorized, post } from "./api.js";
import { count, counted, el, field, statusLine } from "./dom.js";
import { picker, preview } from "./picker.js";

// Of one request that enrols: the service has limits.
const FILES_AT_ONCE = 50;
const BYTES_AT_ONCE = 2 ** 24;
const UNAUTHORIZED = 401;

// In memory only: a reload forgets it, and no other page can read it.
let token = "";

/** A form that enrols, or the reason why there is none; `reload` is called after a change. */
export function writing(gallery, status, reload) {
  if (!gallery.writable) {
    return el(
      "section",
      { class: "card", "aria-label": "Enrol" },
      el("h2", {}, "Enrol"),
      el(
        "p",
        {},
        "Writing is off: the service was started without a token. Set ",
        el("code", {}, "SIAMESE_TOKEN"),
        " where it is started to enrol and remove here.",
      ),
    );
  }
  const files = [];
  const pending = el("ul", { class: "pending" });
  const label = field("Class, of all of them", {
    type: "text",
    list: "class-names",
    autocomplete: "off",
    required: true,
  });
  const names = el(
    "datalist",
    { id: "class-names" },
    gallery.classes.map((one) => el("option", { value: one.label })),
  );
  const send = el("button", { class: "primary", type: "submit", disabled: true }, "Enrol");
  const told = statusLine(); // beside the button: what it says is about the form
  const key = tokenField();

  function add(more) {
    files.push(...more);
    pending.append(
      ...more.map((file) =>
        el(
          "li",
          { title: file.name },
          el(
            "button",
            { type: "button", "aria-label": `Leave out ${file.name}`, onclick: leaveOut(file) },
            preview(file, { alt: "" }),
            el("span", { "aria-hidden": "true" }, "×"),
          ),
          el("span", { class: "pending-name" }, file.name),
        ),
      ),
    );
    show();
  }

  function leaveOut(file) {
    return (event) => {
      files.splice(files.indexOf(file), 1);
      event.currentTarget.parentElement.remove();
      show();
      send.form.querySelector("input").focus();
    };
  }

  function show() {
    send.textContent = files.length ? `Enrol ${counted(files.length, "image")}` : "Enrol";
    send.disabled = !files.length;
  }

  async function enrol(event) {
    event.preventDefault();
    const name = label.input.value.trim();
    const done = { added: 0, known: 0 };
    send.disabled = true;
    status.say("");
    told.say("Enrolling…");
    mark(null);
    try {
      for (const batch of batches(files)) {
        const part = await post("enroll", batch, { label: name }, { headers: authorized(token) });
        files.splice(0, batch.length);
        [...pending.children].slice(0, batch.length).forEach((one) => one.remove());
        done.added += part.added;
        done.known += part.known;
      }
      told.say("");
      await reload();
      const known = done.known ? `, ${count(done.known)} known already` : "";
      status.say(`${counted(done.added, "image")} of ${name} enrolled${known}.`);
    } catch (error) {
      const before = done.added ? ` Enrolled before that: ${counted(done.added, "image")}.` : "";
      told.fail(new Error(plain(error) + before));
      mark(error);
      if (error.status === UNAUTHORIZED) key.input.select();
    } finally {
      show();
      if (done.added) changed();
    }
  }

  // Show which of the files the error names, if it names one.
  function mark(error) {
    const named = files.map((file) => error?.message.startsWith(`${file.name}:`) ?? false);
    named.forEach((bad, index) => pending.children[index].classList.toggle("bad", bad));
  }

  return el(
    "section",
    { class: "card", "aria-label": "Enrol" },
    el("h2", {}, "Enrol"),
    el(
      "form",
      { onsubmit: enrol, class: "stack" },
      picker({ text: "Choose images", hint: "or drop them here", multiple: true, onimages: add }),
      pending,
      el("div", { class: "fields" }, label.node, key.node),
      names,
      el("div", { class: "row" }, send, told.node),
    ),
  );
}

// A person typed a token; that it goes in a header is no help.
function plain(error) {
  return error.status === UNAUTHORIZED ? "That is not this service's token." : error.message;
}

function changed() {
  document.dispatchEvent(new Event("gallery-changed"));
}

function* batches(files) {
  let batch = [];
  let bytes = 0;
  for (const file of [...files]) {
    if (batch.length === FILES_AT_ONCE || (batch.length && bytes + file.size > BYTES_AT_ONCE)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(file);
    bytes += file.size;
  }
  if (batch.length) yield batch;
}

function tokenField() {
  const made = field("Token (kept until this page is closed)", {
    type: "password",
    autocomplete: "off",
    required: true,
    oninput: (event) => {
      token = event.target.value;
    },
  });
  made.input.value = token;
  return made;
}

/** A button that asks once more before it removes. */
export function removal({ text, question, fields, status, reload }) {
  const dialog = el("dialog", { "aria-label": question });
  const remove = async (told, key) => {
    let done;
    try {
      done = await post("remove", [], fields, { headers: authorized(token) });
    } catch (error) {
      told.fail(new Error(plain(error)));
      if (error.status === UNAUTHORIZED) key.input.select();
      return;
    }
    dialog.close();
    changed();
    try {
      await reload();
      status.say(`${counted(done.removed, "image")} removed.`);
    } catch (error) {
      status.fail(error);
    }
  };
  const open = () => {
    const told = statusLine();
    const key = tokenField();
    dialog.replaceChildren(
      el(
        "form",
        {
          class: "stack",
          onsubmit: (event) => {
            event.preventDefault();
            remove(told, key);
          },
        },
        el("p", {}, question),
        key.node,
        told.node,
        el(
          "div",
          { class: "row" },
          el("button", { class: "primary", type: "submit" }, "Remove"),
          el("button", { type: "button", onclick: () => dialog.close() }, "Keep"),
        ),
      ),
    );
    dialog.showModal();
  };
  return el(
    "span",
    {},
    el("button", { type: "button", class: "small-button", onclick: open }, text),
    dialog,
  );
}
