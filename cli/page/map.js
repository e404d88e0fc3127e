"use strict";
// The map: dots, labels, rings and an expression's way, drawn by Bokeh, and the camera above them.

const NEAR_PIXELS = 12; // from a dot to a click or the pointer, at most
const FLIGHT = 350; // milliseconds

// The part of the map that is in view.
class Camera {
  constructor(figure) {
    this.figure = figure;
    this.frame = 0;
  }

  get span() {
    return this.figure.x_range.end - this.figure.x_range.start;
  }

  get middle() {
    const { x_range, y_range } = this.figure;
    return [(x_range.start + x_range.end) / 2, (y_range.start + y_range.end) / 2];
  }

  look(x, y, width) {
    const height = (width * this.figure.inner_height) / this.figure.inner_width;
    this.figure.x_range.setv({ start: x - width / 2, end: x + width / 2 });
    this.figure.y_range.setv({ start: y - height / 2, end: y + height / 2 });
  }

  fly(x, y, width) {
    const [fromX, fromY] = this.middle;
    const fromWidth = this.span;
    const began = performance.now();
    this.land();
    const step = (now) => {
      const part = Math.min(1, (now - began) / FLIGHT);
      const eased = part * part * (3 - 2 * part);
      this.look(fromX + (x - fromX) * eased, fromY + (y - fromY) * eased, fromWidth * (width / fromWidth) ** eased);
      if (part < 1) this.frame = requestAnimationFrame(step);
      else this.land();
    };
    document.body.dataset.flying = "yes";
    this.frame = requestAnimationFrame(step);
  }

  land() {
    cancelAnimationFrame(this.frame);
    delete document.body.dataset.flying;
  }
}

// Draws what a view shows, and changes nothing in it.
class TokenMap {
  constructor(view, drawing) {
    this.view = view;
    const names = ["map", "dots", "points", "labels", "lit", "way", "way dots"];
    const models = names.map((name) => drawing.get_model_by_name(name));
    [this.figure, this.dots, this.points, this.labels, this.lit, this.way, this.wayDots] = models;
    this.camera = new Camera(this.figure);
    this.shown = []; // points, in the order in which they are drawn and named
    this.frame = 0;
    this.enter();
  }

  // The view of the whole map.
  get extent() {
    const { x, y, wide, high } = this.bounds;
    const { inner_width, inner_height } = this.figure;
    return { x, y, width: 1.06 * Math.max(wide, (high * inner_width) / inner_height, 1e-6) };
  }

  // Measures a space; called when the view has entered it.
  enter() {
    this.bounds = boundsOf(this.view.points);
  }

  lookAtAll() {
    const { x, y, width } = this.extent;
    this.camera.look(x, y, width);
  }

  flyToAll() {
    const { x, y, width } = this.extent;
    this.camera.fly(x, y, width);
  }

  paint() {
    this.shown = this.view.shown();
    const { x, y } = this.view.points;
    const { classes, codes } = this.view.colouring;
    const colours = classes.map((each) => each.colour);
    this.points.data = {
      x: Float32Array.from(this.shown, (point) => x[point]),
      y: Float32Array.from(this.shown, (point) => y[point]),
      colour: this.shown.map((point) => colours[codes[point]]),
    };
    const { stops, terms } = this.view.way;
    this.way.data = coordinates(stops);
    this.wayDots.data = coordinates([...stops, ...terms]);
    this.highlight();
  }

  // Draws a ring around the chosen point, and smaller ones around its neighbours.
  highlight() {
    const { x, y } = this.view.points;
    const ringed = this.view.chosenAndNear();
    this.lit.data = {
      x: ringed.map((point) => x[point]),
      y: ringed.map((point) => y[point]),
      size: ringed.map((_, position) => (position ? 11 : 16)),
    };
    this.label();
  }

  label() {
    const found = new Labels(this.figure);
    const { stops, terms } = this.view.way;
    const marks = [...stops.toReversed(), ...terms]; // the label of its end is tried first
    marks.forEach((mark, position) => found.write(mark.label, mark.x, mark.y, { forced: position === 0, bold: true }));
    const { x, y } = this.view.points;
    const { texts } = this.view.tokens;
    const token = (point, options) => found.write(texts[point], x[point], y[point], options);
    this.view.chosenAndNear().forEach((point, position) => token(point, { forced: position === 0 }));
    for (const point of this.shown) {
      if (found.isFull) break;
      if (point !== this.view.chosen) token(point);
    }
    this.labels.data = found.written;
    this.resize();
  }

  labelSoon() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.label());
  }

  // Dots are small in the view of the whole map, where they would merge, and grow with the zoom, but not at every step.
  resize() {
    const count = this.view.points.x.length;
    const size = 2.4 * (this.extent.width / this.camera.span) ** 0.25 * (30_000 / count) ** 0.25;
    const pixels = Math.max(1.5, Math.min(7, Math.round(2 * size) / 2));
    if (this.dots.glyph.size.value !== pixels) this.dots.glyph.size = { value: pixels };
  }

  // The point shown nearest to a position on the map, −1 if none is within a distance.
  nearestTo(x, y, within = Infinity) {
    const { x: allX, y: allY } = this.view.points;
    let [best, least] = [-1, within ** 2];
    for (const point of this.shown) {
      const far = (allX[point] - x) ** 2 + (allY[point] - y) ** 2;
      if (far < least) [best, least] = [point, far];
    }
    return best;
  }

  under({ x, y }) {
    return this.nearestTo(x, y, (NEAR_PIXELS * this.camera.span) / this.figure.inner_width);
  }

  // Reports what the user does: `moved()`, `tapped(point)`, `doubleTapped()`, and `hovered(point, left, top)` with the
  // pixels where a tip fits. A point is −1 if there is none.
  connect({ moved, tapped, doubleTapped, hovered }) {
    const { figure, camera } = this;
    const seesAnother = () => {
      moved();
      this.labelSoon();
    };
    for (const range of [figure.x_range, figure.y_range]) range.properties.start.change.connect(seesAnother);
    figure.properties.inner_width.change.connect(() => camera.look(...camera.middle, camera.span));
    figure.properties.inner_height.change.connect(() => camera.look(...camera.middle, camera.span));
    for (const name of ["panstart", "wheel"]) figure.on_event(name, () => camera.land());
    figure.on_event("tap", (event) => tapped(this.under(event)));
    figure.on_event("doubletap", doubleTapped);
    figure.on_event("mouseleave", () => hovered(-1));
    figure.on_event("mousemove", (event) => {
      const left = Math.min(event.sx + 14, figure.inner_width - 180);
      const top = Math.min(event.sy + 14, figure.inner_height - 60);
      hovered(this.under(event), left, top);
    });
  }
}

const coordinates = (marks) => ({ x: marks.map((mark) => mark.x), y: marks.map((mark) => mark.y) });

function boundsOf({ x, y }) {
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let point = 0; point < x.length; point++) {
    left = Math.min(left, x[point]);
    right = Math.max(right, x[point]);
    bottom = Math.min(bottom, y[point]);
    top = Math.max(top, y[point]);
  }
  return { x: (left + right) / 2, y: (bottom + top) / 2, wide: right - left, high: top - bottom };
}
