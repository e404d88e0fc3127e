"use strict";
// Labels of dots, which are tried in order and written where they fit.

const FONT = "13px sans-serif";
const MOST_LABELS = 250;
const MOST_TRIED = 20_000; // tokens in view whose label is tried
const GRID = 4; // pixels: the side of a cell of the grid in which labels are placed
const HALF = 10; // pixels: half of a label's height
const BESIDE = 7; // pixels from a dot to its label

const pen = document.createElement("canvas").getContext("2d");
const widths = new Map();

function widthOf(text, bold) {
  const key = bold ? `bold ${text}` : `light ${text}`;
  if (!widths.has(key)) {
    pen.font = bold ? `bold ${FONT}` : FONT;
    widths.set(key, pen.measureText(text).width + 2 * BESIDE);
  }
  return widths.get(key);
}

// The cells of the picture that are taken.
class Room {
  constructor(width, height) {
    [this.columns, this.lines] = [Math.ceil(width / GRID), Math.ceil(height / GRID)];
    this.taken = new Uint8Array(this.columns * this.lines);
  }

  // The cells of a label whose left end is at (x, y).
  cells(x, y, wide) {
    return [x, x + wide, y - HALF, y + HALF].map((pixels) => Math.floor(pixels / GRID));
  }

  isInside([left, right, top, bottom]) {
    return left >= 0 && right < this.columns && top >= 0 && bottom < this.lines;
  }

  isFree([left, right, top, bottom]) {
    for (let line = top; line <= bottom; line++) {
      for (let column = left; column <= right; column++) if (this.taken[line * this.columns + column]) return false;
    }
    return true;
  }

  take([left, right, top, bottom]) {
    for (let line = Math.max(0, top); line <= Math.min(bottom, this.lines - 1); line++) {
      const [first, last] = [Math.max(0, left), Math.min(right, this.columns - 1)];
      this.taken.fill(1, line * this.columns + first, line * this.columns + last + 1);
    }
  }
}

// The labels of a Bokeh figure in its current view: `written` has the columns of their source.
class Labels {
  constructor({ x_range, y_range, inner_width, inner_height }) {
    [this.left, this.top] = [x_range.start, y_range.end];
    [this.width, this.height] = [inner_width, inner_height];
    this.scale = inner_width / (x_range.end - x_range.start);
    this.room = new Room(inner_width, inner_height);
    this.tried = 0;
    this.written = { x: [], y: [], text: [], weight: [], align: [], beside: [] };
  }

  get isFull() {
    return this.written.text.length >= MOST_LABELS || this.tried >= MOST_TRIED;
  }

  write(text, x, y, { forced = false, bold = forced } = {}) {
    const [across, down] = [(x - this.left) * this.scale, (this.top - y) * this.scale];
    if (!(across >= 0 && down >= 0 && across < this.width && down < this.height)) return;
    this.tried++;
    const wide = widthOf(text, bold);
    const turned = forced && across + wide > this.width; // to the left of its dot
    const cells = this.room.cells(across - (turned ? wide : 0), down, wide);
    if (!forced && !(this.room.isInside(cells) && this.room.isFree(cells))) return;
    this.room.take(cells);
    const { written } = this;
    written.x.push(x);
    written.y.push(y);
    written.text.push(text);
    written.weight.push(bold ? "bold" : "normal");
    written.align.push(turned ? "right" : "left");
    written.beside.push(turned ? -BESIDE : BESIDE);
  }
}
