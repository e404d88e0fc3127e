"use strict";
// Labels of dots: written where there is room, in the order in which they are tried.

const FONT = "13px sans-serif";
const MOST_LABELS = 250;
const MOST_TRIED = 20_000; // tokens in view for which room is looked for
const GRID = 4; // pixels of a cell of the grid in which labels find room
const HALF = 10; // pixels: half of a label's height
const BESIDE = 7; // pixels from a dot to its label

const pen = document.createElement("canvas").getContext("2d");
pen.font = FONT;
const widths = new Map();

function widthOf(text) {
  if (!widths.has(text)) widths.set(text, pen.measureText(text).width + 2 * BESIDE);
  return widths.get(text);
}

// Which cells of the picture are taken.
class Room {
  constructor(width, height) {
    [this.columns, this.lines] = [Math.ceil(width / GRID), Math.ceil(height / GRID)];
    this.taken = new Uint8Array(this.columns * this.lines);
  }

  // Of a label whose left end is at (x, y); null where it would leave the picture.
  cells(x, y, wide) {
    const [left, right] = [Math.floor(x / GRID), Math.floor((x + wide) / GRID)];
    const [top, bottom] = [Math.floor((y - HALF) / GRID), Math.floor((y + HALF) / GRID)];
    return left < 0 || right >= this.columns || top < 0 || bottom >= this.lines ? null : [left, right, top, bottom];
  }

  isFree([left, right, top, bottom]) {
    for (let line = top; line <= bottom; line++) {
      for (let column = left; column <= right; column++) if (this.taken[line * this.columns + column]) return false;
    }
    return true;
  }

  take([left, right, top, bottom]) {
    for (let line = top; line <= bottom; line++) {
      this.taken.fill(1, line * this.columns + left, line * this.columns + right + 1);
    }
  }
}

// The labels of a figure of Bokeh's, as it is seen now: `written` has the columns of their source.
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
    const turned = forced && across + widthOf(text) > this.width; // to the left of its dot
    const cells = this.room.cells(across - (turned ? widthOf(text) : 0), down, widthOf(text));
    if (!forced && (!cells || !this.room.isFree(cells))) return;
    if (cells) this.room.take(cells);
    const { written } = this;
    written.x.push(x);
    written.y.push(y);
    written.text.push(text);
    written.weight.push(bold ? "bold" : "normal");
    written.align.push(turned ? "right" : "left");
    written.beside.push(turned ? -BESIDE : BESIDE);
  }
}
