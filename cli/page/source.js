"use strict";
// Where the page gets its data: a source answers these questions, each with a promise, and nothing else reads the data.
//
//   spaces()                the spaces, of which the first is shown first: [{ id, name, quality }];
//                           `id` names a space in the other questions
//   tokens()                { total, rows, ids, texts }: how many tokens the vocabulary has; and of every point, which
//                           is a token on the map, the row in the vocabulary, id and text: the same in all spaces
//   points(space)           { x, y, norms, colourings }: of every point its coordinates and norm, and what it may be
//                           coloured by: [{ name, perSpace, classes: [{ name, colour }], codes }], where a code is the
//                           position of a point's class, and perSpace says that each space has classes of its own.
//                           `kind` and `script` are among them.
//   neighbours(space, row)  the tokens nearest to a token on the map, of the whole vocabulary, nearest first:
//                           [{ row, text, cosine }]; none for a vector of zeros
//   find(text)              the rows of the tokens on the map that contain a text, the best first, a few
//   expression(space)       the path of the page's expression: { stops, terms }, each [{ label, x, y }], or empty

const MOST_FOUND = 8;

// The data are in the page itself, as kotovec.cli.page.data wrote them.
class EmbeddedSource {
  constructor(data) {
    this.data = data;
    this.rows = decode(data.rows, Int32Array);
    this.ids = decode(data.ids, Float64Array);
    this.pointOf = pointsOf(this.rows, data.tokens.length);
    this.texts = Array.from(this.rows, (row) => data.tokens[row]);
    this.plainTexts = null; // computed at the first search
    this.decoded = data.spaces.map(decodeSpace);
    this.colourings = data.colourings.map(({ name, classes, codes }) => ({
      name,
      classes,
      codes: codes.map((each) => decode(each, Uint8Array)),
    }));
  }

  async spaces() {
    return this.data.spaces.map(({ name, quality }, id) => ({ id, name, quality }));
  }

  async tokens() {
    const { rows, texts } = this;
    return { total: this.data.tokens.length, rows, ids: Float64Array.from(rows, (row) => this.ids[row]), texts };
  }

  async points(space) {
    const { x, y, norms } = this.decoded[space];
    const ofSpace = (all) => all[Math.min(space, all.length - 1)]; // one for all spaces, or one per space
    const colourings = this.colourings.map(({ name, classes, codes }) => ({
      name,
      perSpace: codes.length > 1,
      classes: ofSpace(classes),
      codes: ofSpace(codes),
    }));
    return { x, y, norms, colourings };
  }

  async neighbours(space, row) {
    const { near, cosines } = this.decoded[space];
    const start = this.pointOf[row] * this.data.near;
    const found = [];
    for (let position = start; position < start + this.data.near; position++) {
      const other = near[position];
      if (other >= 0) found.push({ row: other, text: this.data.tokens[other], cosine: cosines[position] });
    }
    return found;
  }

  async find(text) {
    this.plainTexts ??= this.texts.map(plain);
    const wanted = plain(text);
    const groups = [[], [], [], []]; // exactly as typed, the whole token, its beginning, inside
    this.plainTexts.forEach((token, point) => {
      const position = token.indexOf(wanted);
      if (position < 0) return;
      const asTyped = bare(this.texts[point]) === text;
      groups[asTyped ? 0 : token === wanted ? 1 : position === 0 ? 2 : 3].push(this.rows[point]);
    });
    return groups.flat().slice(0, MOST_FOUND);
  }

  async expression(space) {
    return this.data.spaces[space].way ?? { stops: [], terms: [] };
  }
}

function decode(text, Type) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < characters.length; i++) bytes[i] = characters.charCodeAt(i);
  return new Type(bytes.buffer);
}

function decodeSpace(space) {
  const decoded = { near: decode(space.near, Int32Array) };
  for (const name of ["x", "y", "norms", "cosines"]) decoded[name] = decode(space[name], Float32Array);
  return decoded;
}

// The point of every row of the vocabulary, −1 for a token that is not on the map.
function pointsOf(rows, total) {
  const points = new Int32Array(total).fill(-1);
  rows.forEach((row, point) => (points[row] = point));
  return points;
}

// Texts are compared without regard to width and case, and without the mark with which a word begins.
const bare = (text) => text.replace(/^▁(?=.)/, "");
const plain = (text) => bare(text.normalize("NFKC").toLowerCase());

// The source of this page: one that asks a server would be chosen here.
const openSource = () => new EmbeddedSource(JSON.parse(document.getElementById("data").textContent));
