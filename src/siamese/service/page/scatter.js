// Thousands of points on a canvas: drawing, moving, zooming, and which point is meant.
//
// Points are copied into the pixels of an image, which takes a few milliseconds for ten thousand of
// them, whether there is a GPU or not; a call to the canvas for each point takes ten times as long.

import { el } from "./dom.js";

const DISC = 0, RING = 1, SQUARE = 2, CROSS = 3;
export const SHAPES = { disc: DISC, ring: RING, square: SQUARE, cross: CROSS };
const NEAR = 14; // pixels from a point within which it is meant
const CELLS = 64; // of the grid that finds points, along each side
const LEAST = 0.7, MOST = 120;
const SMALL = 2.3, LARGE = 4, GREATEST = 8; // radius of a point: of many, of few, zoomed in

/**
 * Make a canvas of points. `onpoint(index, x, y)` is told which point is meant and where it is on
 * the canvas; index is -1 for none. Returns { node, setPoints, setColours, setShown, zoom, whole }.
 */
export function scatter({ label, onpoint }) {
  const canvas = el("canvas", { class: "scatter", tabindex: 0, role: "application",
    "aria-label": label, "aria-roledescription": "map" });
  const context = canvas.getContext("2d");
  const pointers = new Map();
  let points = null, grid = null, order = null; // made once for each set of points
  let colours = [], colourOf = null, ground = 0; // of each class and of what is faint; behind them
  let shown = null, row = null; // of each point: is it shown, its place in `colourOf`
  let masks = null, masksKey = "", frame = null;
  let base = SMALL; // radius of a point where nothing is enlarged
  let width = 0, height = 0, ratio = 1;
  let view = { zoom: 1, x: 0.5, y: 0.5 }; // the middle of the canvas, in the unit square
  let meant = -1, waiting = 0, moved = 0;

  const side = () => Math.min(width, height) * 0.94 * view.zoom;
  const toScreen = (index) => [
    width / 2 + (points.x[index] - view.x) * side(),
    height / 2 + (points.y[index] - view.y) * side(),
  ];

  function draw() {
    waiting = 0;
    if (!points || !width) return;
    const growth = view.zoom ** 0.35 * clamp(Math.min(width, height) / 600, 0.7, 1);
    const radius = Math.min(base * growth, GREATEST);
    const { lively, dull, reach } = makeMasks(radius, Math.min(SMALL * growth, radius));
    const { image, pixels, margin } = frame;
    const scale = side() * ratio;
    const left = width * ratio / 2 - view.x * scale, top = height * ratio / 2 - view.y * scale;
    const right = canvas.width + reach, bottom = canvas.height + reach;
    const n = colours.length;
    pixels.fill(ground);
    for (let position = 0; position < order.length; position += 1) {
      const index = order[position];
      if (!shown[index]) continue;
      const x = Math.round(left + points.x[index] * scale);
      const y = Math.round(top + points.y[index] * scale);
      if (x < -reach || y < -reach || x >= right || y >= bottom) continue;
      const { offsets, shares } = (row[index] === n ? dull : lively)[points.shape[index]];
      const colour = colourOf[row[index]];
      const at = (y + margin) * image.width + x + margin;
      for (let one = 0; one < offsets.length; one += 1) {
        const place = at + offsets[one];
        pixels[place] = shares[one] === 255 ? colour : mixed(pixels[place], colour, shares[one]);
      }
    }
    context.putImageData(image, -margin, -margin);
    if (meant >= 0) ring(...toScreen(meant), radius);
  }

  function ring(x, y, radius) {
    context.strokeStyle = getComputedStyle(canvas).color;
    context.lineWidth = 2 * ratio;
    context.beginPath();
    context.arc(x * ratio, y * ratio, (radius + 4) * ratio, 0, 2 * Math.PI);
    context.stroke();
  }

  // Which pixels each shape covers, and how much of each: found out once for each size.
  function makeMasks(...radii) {
    const [r, faintR] = radii.map((radius) => Math.round(radius * ratio * 2) / 2);
    const reach = reachOf(r);
    const stride = frame.image.width;
    const key = `${r} ${faintR} ${stride}`;
    if (key !== masksKey) {
      const [lively, dull] = [r, faintR].map((size) => Object.values(SHAPES).map((shape) =>
        maskOf((pen) => drawShape(pen, shape, reach, reach, size), reach, stride)));
      masks = { lively, dull, reach };
      masksKey = key;
    }
    return masks;
  }

  function drawShape(pen, shape, x, y, r) {
    pen.beginPath();
    pen.lineWidth = Math.max(1.1 * ratio, r * 0.5);
    if (shape === CROSS) {
      const arm = r * 1.25;
      pen.moveTo(x - arm, y - arm);
      pen.lineTo(x + arm, y + arm);
      pen.moveTo(x - arm, y + arm);
      pen.lineTo(x + arm, y - arm);
      pen.stroke();
    } else if (shape === SQUARE) {
      pen.fillRect(x - 1.3 * r, y - 1.3 * r, 2.6 * r, 2.6 * r);
    } else {
      pen.arc(x, y, shape === RING ? r * 0.95 : r, 0, 2 * Math.PI);
      if (shape === RING) pen.stroke();
      else pen.fill();
    }
  }

  function redraw() {
    if (!waiting) waiting = requestAnimationFrame(draw);
  }

  // The point on top within reach of a place on the canvas, or -1.
  function at(x, y) {
    if (!points) return -1;
    const scale = side();
    const px = view.x + (x - width / 2) / scale, py = view.y + (y - height / 2) / scale;
    const reach = NEAR / scale;
    let found = -1, nearest = reach * reach;
    const [x0, x1] = [px - reach, px + reach].map(cell), [y0, y1] = [py - reach, py + reach].map(cell);
    for (let line = y0; line <= y1; line += 1) {
      for (let column = x0; column <= x1; column += 1) {
        const where = line * CELLS + column;
        for (let position = grid.starts[where]; position < grid.starts[where + 1]; position += 1) {
          const index = grid.members[position];
          if (!shown[index] || row[index] === colours.length) continue;
          const away = (points.x[index] - px) ** 2 + (points.y[index] - py) ** 2;
          if (away <= nearest) [found, nearest] = [index, away];
        }
      }
    }
    return found;
  }

  function pick(x, y) {
    meant = at(x, y);
    redraw();
    onpoint(meant, ...(meant >= 0 ? toScreen(meant) : [x, y]));
  }

  function forget() {
    meant = -1;
    onpoint(-1, 0, 0);
    redraw();
  }

  function move(dx, dy) {
    view.x = clamp(view.x - dx / side(), 0, 1);
    view.y = clamp(view.y - dy / side(), 0, 1);
    redraw();
  }

  // Zoom, so that what is at a place on the canvas stays there.
  function zoomAt(factor, x, y) {
    const before = side();
    view.zoom = clamp(view.zoom * factor, LEAST, MOST);
    const change = 1 / before - 1 / side();
    view.x = clamp(view.x + (x - width / 2) * change, 0, 1);
    view.y = clamp(view.y + (y - height / 2) * change, 0, 1);
    redraw();
  }

  const zoom = (factor) => {
    forget();
    zoomAt(factor, width / 2, height / 2);
  };
  const whole = () => {
    view = { zoom: 1, x: 0.5, y: 0.5 };
    forget();
  };

  canvas.addEventListener("wheel", (event) => {
    // Else the page could not be scrolled past the canvas. Pinching on a touchpad comes with Ctrl.
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1; // Firefox counts lines
    zoomAt(Math.exp(-clamp(event.deltaY * lines, -200, 200) / 350), event.offsetX, event.offsetY);
    pick(event.offsetX, event.offsetY);
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const place = [event.offsetX, event.offsetY];
    const before = pointers.get(event.pointerId);
    if (!before) {
      pick(...place);
      return;
    }
    const [dx, dy] = [place[0] - before[0], place[1] - before[1]];
    moved += Math.hypot(dx, dy);
    pointers.set(event.pointerId, place);
    if (pointers.size === 1) {
      if (moved > 3) {
        if (meant >= 0) forget();
        canvas.classList.add("held");
        move(dx, dy);
      }
      return;
    }
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
    const gap = (one) => Math.max(20, Math.hypot(one[0] - other[0], one[1] - other[1]));
    move(dx / 2, dy / 2);
    zoomAt(gap(place) / gap(before), (place[0] + other[0]) / 2, (place[1] + other[1]) / 2);
  });
  const release = (event) => {
    const isTap = pointers.delete(event.pointerId) && moved <= 3 && event.type === "pointerup";
    canvas.classList.remove("held");
    if (isTap) pick(event.offsetX, event.offsetY);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") forget();
  });

  const step = 48;
  const KEYS = {
    ArrowLeft: () => move(step, 0), ArrowRight: () => move(-step, 0),
    ArrowUp: () => move(0, step), ArrowDown: () => move(0, -step),
    "+": () => zoomAt(1.3, width / 2, height / 2), "=": () => zoomAt(1.3, width / 2, height / 2),
    "-": () => zoomAt(1 / 1.3, width / 2, height / 2), 0: whole, Escape: forget,
  };
  canvas.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
    if (act !== whole && act !== forget) pick(width / 2, height / 2);
  });
  canvas.addEventListener("blur", forget);

  new ResizeObserver(() => {
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    // The image that points are copied into, with room around it so that none is cut in two.
    const margin = 2 * reachOf(GREATEST * ratio);
    const image = new ImageData(canvas.width + 2 * margin, canvas.height + 2 * margin);
    frame = { image, margin, pixels: new Uint32Array(image.data.buffer) };
    if (meant >= 0) forget();
    redraw();
  }).observe(canvas);

  /** Take points: `x`, `y` in any unit, `shape`, as arrays. Those of later shapes lie on top. */
  function setPoints({ x, y, shape }) {
    points = { ...unitSquare(x, y), shape: Uint8Array.from(shape) };
    order = Uint32Array.from(shape.keys()).sort((one, other) => shape[one] - shape[other] || one - other);
    grid = gridOf(points);
    whole();
  }

  /** Take the colour of each class, and that of what is not highlighted. */
  function setColours(ofClasses, ofOthers) {
    colours = ofClasses;
    colourOf = resolved([...ofClasses, ofOthers]);
    [ground] = resolved([getComputedStyle(canvas).backgroundColor]);
    redraw();
  }

  /** Take for each point whether it is shown, and its class, or the number of classes if faint. */
  function setShown(isShown, classOrFaint) {
    shown = isShown;
    row = classOrFaint;
    const lively = row.reduce((sum, one, index) => sum + (shown[index] && one < colours.length), 0);
    base = clamp(SMALL * (5000 / Math.max(lively, 1)) ** 0.2, SMALL, LARGE);
    order.sort((one, other) => (row[other] === colours.length) - (row[one] === colours.length)
      || points.shape[one] - points.shape[other] || one - other);
    forget();
  }

  return { node: canvas, setPoints, setColours, setShown, zoom, whole };
}

// A canvas of its own to look at what was drawn, which the browser then keeps where it can be read.
function pad(columns, lines) {
  const sheet = Object.assign(document.createElement("canvas"), { width: columns, height: lines });
  return sheet.getContext("2d", { willReadFrequently: true });
}

// Colours of CSS as pixels of an image.
function resolved(colours) {
  const pen = pad(colours.length, 1);
  colours.forEach((colour, place) => {
    pen.fillStyle = colour;
    pen.fillRect(place, 0, 1, 1);
  });
  return new Uint32Array(pen.getImageData(0, 0, colours.length, 1).data.buffer);
}

// The pixels that something drawn at (reach, reach) covers: where they are from there in an image of
// a given width, and how much of each is covered, of 255.
function maskOf(draw, reach, stride) {
  const size = 2 * reach, offsets = [], shares = [];
  const pen = pad(size, size);
  draw(pen);
  pen.getImageData(0, 0, size, size).data.forEach((value, place) => {
    if (place % 4 !== 3 || !value) return;
    const pixel = (place - 3) / 4;
    offsets.push((Math.floor(pixel / size) - reach) * stride + (pixel % size) - reach);
    shares.push(value);
  });
  return { offsets: Int32Array.from(offsets), shares: Uint8Array.from(shares) };
}

// A pixel over which another is laid with a share of 255; the ground is opaque, and so are all.
function mixed(below, above, share) {
  const rest = 255 - share;
  const channel = (shift) =>
    (((below >>> shift) & 255) * rest + ((above >>> shift) & 255) * share) / 255;
  return (0xff000000 | (channel(16) << 16) | (channel(8) << 8) | channel(0)) >>> 0;
}

// How far from its middle a point may cover pixels.
function reachOf(radius) {
  return Math.ceil(radius * 1.7 + 1);
}

// Places in the unit square, the same unit on both axes, y downwards.
function unitSquare(x, y) {
  const [left, right] = limits(x), [bottom, top] = limits(y);
  const extent = Math.max(right - left, top - bottom) || 1;
  return {
    x: Float32Array.from(x, (value) => 0.5 + (value - (left + right) / 2) / extent),
    y: Float32Array.from(y, (value) => 0.5 - (value - (bottom + top) / 2) / extent),
  };
}

function limits(values) {
  let least = Infinity, most = -Infinity;
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}

function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most);
}

function cell(value) {
  return clamp(Math.floor(value * CELLS), 0, CELLS - 1);
}

// The points of each cell, by counting: `members` from `starts[cell]` to `starts[cell + 1]`.
function gridOf({ x, y }) {
  const starts = new Uint32Array(CELLS * CELLS + 1), members = new Uint32Array(x.length);
  const where = Uint32Array.from(x, (value, index) => cell(y[index]) * CELLS + cell(value));
  for (const one of where) starts[one + 1] += 1;
  for (let one = 0; one < CELLS * CELLS; one += 1) starts[one + 1] += starts[one];
  const next = starts.slice();
  where.forEach((one, index) => {
    members[next[one]] = index;
    next[one] += 1;
  });
  return { starts, members };
}
