"use strict";
// What the page of `kotovec map --html` does. The drawing is Bokeh's. Token texts reach the document as text, never as
// markup; the canvas draws them.

const NEAR_PIXELS = 12; // how far from a dot a click or the pointer may be
const FLIGHT = 350; // milliseconds
const CLOSE_UP = 0.04; // of the map's width, where a search flies to
const NO_WAY = { stops: [], terms: [] }; // where there is no expression

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

function decode(text, Type) {
  const signs = atob(text);
  const bytes = new Uint8Array(signs.length);
  for (let i = 0; i < signs.length; i++) bytes[i] = signs.charCodeAt(i);
  return new Type(bytes.buffer);
}

// Points are tokens on the map, rows are tokens of the vocabulary: they differ where the map is of a sample.
const rows = decode(data.rows, Int32Array);
const ids = decode(data.ids, Float64Array);
const pointOf = new Int32Array(data.tokens.length).fill(-1);
rows.forEach((row, point) => (pointOf[row] = point));
for (const space of data.spaces) {
  for (const name of ["x", "y", "norms", "cosines"]) space[name] = decode(space[name], Float32Array);
  space.near = decode(space.near, Int32Array);
}
for (const colouring of data.colourings) {
  colouring.codes = colouring.codes.map((codes) => decode(codes, Uint8Array));
}

const state = { space: data.spaces[0], colouring: data.colourings[0], hidden: new Set(), shown: [], chosen: -1 };
let figure, dots, points, labels, lit, way, wayDots;

// What there is one of for all spaces, or one of for each.
const ofSpace = (all) => all[Math.min(data.spaces.indexOf(state.space), all.length - 1)];
const codes = () => ofSpace(state.colouring.codes);
const classes = () => ofSpace(state.colouring.classes);

// Words are named before what says little by itself: signs, subwords, unused tokens.
const speaks = (point) =>
  classNamed(point, "kind") === "word" &&
  (data.tokens[rows[point]].length > 1 || classNamed(point, "script") === "kanji");
const talkative = Array.from(rows.keys()).filter(speaks);
const silent = Array.from(rows.keys()).filter((point) => !speaks(point));

function classNamed(point, name) {
  const colouring = data.colourings.find((each) => each.name === name);
  return colouring.classes[0][colouring.codes[0][point]].name;
}

function element(tag, text, properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.textContent = text;
  return made;
}

// --- the map ---

function paint() {
  const all = codes();
  const hidden = state.hidden;
  const isShown = (point) => !hidden.has(all[point]);
  state.shown = [...talkative.filter(isShown), ...silent.filter(isShown)];
  const count = state.shown.length;
  const [x, y, colour] = [new Float32Array(count), new Float32Array(count), new Array(count)];
  const colours = classes().map((each) => each.colour);
  state.shown.forEach((point, place) => {
    x[place] = state.space.x[point];
    y[place] = state.space.y[point];
    colour[place] = colours[all[point]];
  });
  points.data = { x, y, colour };
  const { stops, terms } = state.space.way ?? NO_WAY;
  way.data = { x: stops.map((stop) => stop.x), y: stops.map((stop) => stop.y) };
  const marks = [...stops, ...terms];
  wayDots.data = { x: marks.map((mark) => mark.x), y: marks.map((mark) => mark.y) };
  highlight();
}

function highlight() {
  const marked = chosenAndNear();
  lit.data = {
    x: marked.map((point) => state.space.x[point]),
    y: marked.map((point) => state.space.y[point]),
    size: marked.map((_, place) => (place ? 11 : 16)),
  };
  label();
}

function neighbours(point) {
  const found = [];
  for (let place = point * data.near; place < (point + 1) * data.near; place++) {
    if (state.space.near[place] >= 0) found.push([state.space.near[place], state.space.cosines[place]]);
  }
  return found;
}

// The chosen point and those of its neighbours that are on the map.
function chosenAndNear() {
  if (state.chosen < 0) return [];
  return [state.chosen, ...neighbours(state.chosen).map(([row]) => pointOf[row])].filter((point) => point >= 0);
}

function nearestTo(x, y, within = Infinity) {
  let [best, least] = [-1, within ** 2];
  for (const point of state.shown) {
    const far = (state.space.x[point] - x) ** 2 + (state.space.y[point] - y) ** 2;
    if (far < least) [best, least] = [point, far];
  }
  return best;
}

const under = ({ x, y }) => nearestTo(x, y, (NEAR_PIXELS * span()) / figure.inner_width);

// --- where one looks ---

const span = () => figure.x_range.end - figure.x_range.start;

function look(x, y, width) {
  const height = (width * figure.inner_height) / figure.inner_width;
  figure.x_range.setv({ start: x - width / 2, end: x + width / 2 });
  figure.y_range.setv({ start: y - height / 2, end: y + height / 2 });
}

function middle() {
  return [(figure.x_range.start + figure.x_range.end) / 2, (figure.y_range.start + figure.y_range.end) / 2];
}

function bounds({ x, y }) {
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let point = 0; point < rows.length; point++) {
    left = Math.min(left, x[point]);
    right = Math.max(right, x[point]);
    bottom = Math.min(bottom, y[point]);
    top = Math.max(top, y[point]);
  }
  return { x: (left + right) / 2, y: (bottom + top) / 2, wide: right - left, high: top - bottom };
}

for (const space of data.spaces) space.bounds = bounds(space);

function extent() {
  const { x, y, wide, high } = state.space.bounds;
  return { x, y, width: 1.06 * Math.max(wide, (high * figure.inner_width) / figure.inner_height, 1e-6) };
}

let flight = 0;

function land() {
  cancelAnimationFrame(flight);
  delete document.body.dataset.flying;
}

function fly(x, y, width) {
  const [fromX, fromY] = middle();
  const fromWidth = span();
  const began = performance.now();
  land();
  const step = (now) => {
    const part = Math.min(1, (now - began) / FLIGHT);
    const eased = part * part * (3 - 2 * part);
    look(fromX + (x - fromX) * eased, fromY + (y - fromY) * eased, fromWidth * (width / fromWidth) ** eased);
    if (part < 1) flight = requestAnimationFrame(step);
    else land();
  };
  document.body.dataset.flying = "yes";
  flight = requestAnimationFrame(step);
}

// --- labels ---

function label() {
  const found = new Labels(figure);
  const { x, y } = state.space;
  const { stops, terms } = state.space.way ?? NO_WAY;
  const marks = [...stops.toReversed(), ...terms]; // where it lands comes first
  marks.forEach((mark, place) => found.write(mark.label, mark.x, mark.y, { forced: place === 0, bold: true }));
  const token = (point, options) => found.write(data.tokens[rows[point]], x[point], y[point], options);
  chosenAndNear().forEach((point, place) => token(point, { forced: place === 0 }));
  for (const point of state.shown) {
    if (found.isFull) break;
    if (point !== state.chosen) token(point);
  }
  labels.data = found.written;
  resize();
}

// Small where all is seen, so that they are no blot, and larger the nearer one comes; but not anew at every step.
function resize() {
  const size = 2.4 * (extent().width / span()) ** 0.25 * (30_000 / rows.length) ** 0.25;
  const pixels = Math.max(1.5, Math.min(7, Math.round(2 * size) / 2));
  if (dots.glyph.size.value !== pixels) dots.glyph.size = { value: pixels };
}

let waiting = 0;

function labelSoon() {
  $("tip").hidden = true;
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(label);
}

// --- the panel ---

function choose(point) {
  state.chosen = point;
  describe();
  highlight();
}

function describe() {
  const panel = $("token");
  panel.replaceChildren();
  if (state.chosen < 0) return;
  panel.append(element("h2", data.tokens[rows[state.chosen]]), element("p", facts(state.chosen), { className: "facts" }));
  const near = neighbours(state.chosen);
  const all = data.tokens.length.toLocaleString("en");
  const said = near.length ? `Nearest by cosine of all ${all} tokens, ${state.space.name}:` : "A vector of zeros: nothing is near.";
  panel.append(element("p", said, { className: "facts" }));
  const table = document.createElement("table");
  for (const [row, cosine] of near) {
    const line = table.insertRow();
    const button = element("button", data.tokens[row], { disabled: pointOf[row] < 0, onclick: () => visit(pointOf[row]) });
    line.insertCell().append(button);
    line.insertCell().textContent = cosine.toFixed(4);
  }
  panel.append(table);
}

function facts(point) {
  const row = rows[point];
  const norm = state.space.norms[point].toPrecision(4);
  return `id ${ids[row]}, ${classNamed(point, "kind")}, ${classNamed(point, "script")}, norm ${norm}`;
}

function visit(point) {
  if (state.hidden.has(codes()[point])) {
    state.hidden.delete(codes()[point]);
    legend();
    paint();
  }
  choose(point);
  fly(state.space.x[point], state.space.y[point], Math.min(span(), extent().width * CLOSE_UP));
}

function legend() {
  const counts = new Map();
  for (const code of codes()) counts.set(code, (counts.get(code) || 0) + 1);
  const lines = classes().map((each, code) => {
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: !state.hidden.has(code) });
    box.onchange = () => {
      if (box.checked) state.hidden.delete(code);
      else state.hidden.add(code);
      paint();
    };
    const dot = document.createElement("i");
    dot.style.background = each.colour;
    const line = document.createElement("label");
    line.append(box, dot, element("span", each.name), element("span", (counts.get(code) || 0).toLocaleString("en")));
    line.hidden = !counts.has(code);
    return line;
  });
  $("classes").replaceChildren(...lines);
}

function switchSpace(space) {
  land();
  const [x, y] = middle();
  const zoom = span() / extent().width;
  let kept = state.chosen;
  if (kept < 0 && zoom < 0.9) kept = nearestTo(x, y);
  state.space = space;
  if (state.colouring.codes.length > 1) state.hidden.clear(); // classes of another space
  const whole = extent();
  if (kept < 0) look(whole.x, whole.y, whole.width);
  else look(space.x[kept], space.y[kept], whole.width * zoom);
  $("quality").textContent = space.quality;
  legend();
  paint();
  describe();
}

// --- search: by what one types, whatever its width and case ---

const bare = (text) => text.replace(/^▁(?=.)/, ""); // of the mark with which a word begins
const plain = (text) => bare(text.normalize("NFKC").toLowerCase());
let plainTokens = null;

function search(text) {
  const wanted = plain(text.trim());
  const list = $("found");
  list.replaceChildren();
  if (!wanted) return [];
  plainTokens = plainTokens || Array.from(rows, (row) => plain(data.tokens[row]));
  const groups = [[], [], [], []];
  plainTokens.forEach((token, point) => {
    const place = token.indexOf(wanted);
    if (place < 0) return;
    const asWritten = bare(data.tokens[rows[point]]) === text.trim();
    groups[asWritten ? 0 : token === wanted ? 1 : place === 0 ? 2 : 3].push(point);
  });
  const found = groups.flat().slice(0, 8);
  for (const point of found) {
    const button = element("button", data.tokens[rows[point]], { onclick: () => pick(point) });
    list.append(document.createElement("li"));
    list.lastChild.append(button);
  }
  if (!found.length) list.append(element("li", "no token on this map", { className: "facts" }));
  return found;
}

function pick(point) {
  $("found").replaceChildren();
  visit(point);
}

// --- begin ---

function connect() {
  for (const range of [figure.x_range, figure.y_range]) range.properties.start.change.connect(labelSoon);
  figure.properties.inner_width.change.connect(() => look(...middle(), span()));
  figure.properties.inner_height.change.connect(() => look(...middle(), span()));
  for (const name of ["panstart", "wheel"]) figure.on_event(name, land);
  let before = -1;
  figure.on_event("tap", (event) => {
    before = state.chosen;
    choose(under(event));
  });
  figure.on_event("doubletap", () => {
    choose(before); // its first click was a tap
    const whole = extent();
    fly(whole.x, whole.y, whole.width);
  });
  figure.on_event("mousemove", (event) => {
    const point = under(event);
    const tip = $("tip");
    tip.hidden = point < 0;
    if (point < 0) return;
    tip.textContent = `${data.tokens[rows[point]]}\n${facts(point)}`;
    tip.style.left = `${Math.min(event.sx + 14, figure.inner_width - 180)}px`;
    tip.style.top = `${Math.min(event.sy + 14, figure.inner_height - 60)}px`;
  });
  figure.on_event("mouseleave", () => ($("tip").hidden = true));
  $("search").oninput = (event) => search(event.target.value);
  $("search").onkeydown = (event) => {
    if (event.isComposing) return; // Enter ends a conversion to kanji
    const found = event.key === "Enter" ? search(event.target.value) : [];
    if (found.length) pick(found[0]);
    if (event.key === "Escape") $("found").replaceChildren();
  };
}

function fillPanel() {
  data.spaces.forEach((space, place) => {
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "space", checked: !place });
    radio.onchange = () => switchSpace(space);
    const line = document.createElement("label");
    line.append(radio, element("span", space.name));
    $("spaces").append(line);
  });
  for (const colouring of data.colourings) $("colouring").append(element("option", colouring.name));
  $("colouring").onchange = (event) => {
    state.colouring = data.colourings[event.target.selectedIndex];
    state.hidden.clear();
    legend();
    paint();
  };
  $("quality").textContent = state.space.quality;
  legend();
}

Bokeh.embed.embed_item(data.plot, "plot").then(() => {
  const names = ["map", "dots", "points", "labels", "lit", "way", "way dots"];
  [figure, dots, points, labels, lit, way, wayDots] = names.map((name) => Bokeh.documents[0].get_model_by_name(name));
  fillPanel();
  const whole = extent();
  look(whole.x, whole.y, whole.width);
  paint();
  connect();
  document.body.dataset.ready = "yes";
});
