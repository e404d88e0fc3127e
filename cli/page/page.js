"use strict";
// The page of `kotovec map --html`: what it shows, and how it reacts to the user.

const CLOSE_UP = 0.04; // the part of the map's width that is in view after a search

// The state of the page. Points are tokens on the map, rows are tokens of the vocabulary: they differ if the map is of
// a sample.
class View {
  constructor(tokens) {
    this.tokens = tokens;
    this.pointOf = pointsOf(tokens.rows, tokens.total);
    this.colouringIndex = 0;
    this.hidden = new Set(); // codes of the classes that are filtered out
    this.chosen = -1;
    this.near = []; // neighbours of the chosen point, in the space that is shown
  }

  // Shows a space: its points, the way of the expression in it, and the neighbours of the chosen point.
  enter(space, { points, way, near }) {
    Object.assign(this, { space, points, way, near });
    this.order ??= this.wordsFirst();
    if (this.colouring.perSpace) this.hidden.clear(); // classes of another space
  }

  get colouring() {
    return this.points.colourings[this.colouringIndex];
  }

  colourBy(index) {
    this.colouringIndex = index;
    this.hidden.clear();
  }

  isHidden(point) {
    return this.hidden.has(this.colouring.codes[point]);
  }

  shown() {
    const { codes } = this.colouring;
    return this.order.filter((point) => !this.hidden.has(codes[point]));
  }

  // The chosen point and those of its neighbours that are on the map.
  chosenAndNear() {
    if (this.chosen < 0) return [];
    return [this.chosen, ...this.near.map(({ row }) => this.pointOf[row])].filter((point) => point >= 0);
  }

  // Words are labelled before tokens that mean little by themselves: punctuation, subwords, unused tokens.
  wordsFirst() {
    const speaks = (point) =>
      this.classOf(point, "kind") === "word" &&
      (this.tokens.texts[point].length > 1 || this.classOf(point, "script") === "kanji");
    const points = Array.from(this.tokens.rows.keys());
    return [...points.filter(speaks), ...points.filter((point) => !speaks(point))];
  }

  classOf(point, name) {
    const { classes, codes } = this.points.colourings.find((each) => each.name === name);
    return classes[codes[point]].name;
  }

  facts(point) {
    const norm = this.points.norms[point].toPrecision(4);
    const [kind, script] = ["kind", "script"].map((name) => this.classOf(point, name));
    return `id ${this.tokens.ids[point]}, ${kind}, ${script}, norm ${norm}`;
  }
}

// What the user does changes the view, then the map and the panel.
class Page {
  constructor(source, view, map, panel) {
    Object.assign(this, { source, view, map, panel });
    this.turn = Promise.resolve();
    this.before = -1; // the chosen point before the last tap
  }

  // Whatever waits for the source is done one after the other, in the order of the user's actions: otherwise the
  // neighbours of one space could be shown in another.
  inTurn(change) {
    this.turn = this.turn.then(change).catch((error) => console.error(error));
  }

  async nearTo(space, point) {
    return point < 0 ? [] : this.source.neighbours(space.id, this.view.tokens.rows[point]);
  }

  async choose(point) {
    const near = await this.nearTo(this.view.space, point);
    Object.assign(this.view, { chosen: point, near });
    this.panel.describe();
    this.map.highlight();
  }

  async visit(point) {
    const { view, map } = this;
    if (view.isHidden(point)) {
      view.hidden.delete(view.colouring.codes[point]);
      this.panel.legend();
      map.paint();
    }
    await this.choose(point);
    const width = Math.min(map.camera.span, map.extent.width * CLOSE_UP);
    map.camera.fly(view.points.x[point], view.points.y[point], width);
  }

  async search(text) {
    const rows = text ? await this.source.find(text) : [];
    const points = rows.map((row) => this.view.pointOf[row]);
    if (text) this.panel.listFound(points);
    else this.panel.clearFound();
    return points;
  }

  async pick(point) {
    this.panel.clearFound();
    await this.visit(point);
  }

  async enter(text) {
    const [point] = await this.search(text);
    if (point !== undefined) await this.pick(point);
  }

  // The chosen token stays in view; if none is chosen, the one in the middle does, unless the whole map is in view.
  async switchTo(space) {
    const { view, map } = this;
    const [points, way, near] = await Promise.all([
      this.source.points(space.id),
      this.source.expression(space.id),
      this.nearTo(space, view.chosen),
    ]);
    map.camera.land();
    const zoom = map.camera.span / map.extent.width;
    const kept = view.chosen < 0 && zoom < 0.9 ? map.nearestTo(...map.camera.middle) : view.chosen;
    view.enter(space, { points, way, near });
    map.enter();
    if (kept < 0) map.lookAtAll();
    else map.camera.look(view.points.x[kept], view.points.y[kept], map.extent.width * zoom);
    this.panel.enter();
    map.paint();
    this.panel.describe();
  }

  recolour(index) {
    this.view.colourBy(index);
    this.panel.legend();
    this.map.paint();
  }

  filter(code, isShown) {
    if (isShown) this.view.hidden.delete(code);
    else this.view.hidden.add(code);
    this.map.paint();
  }

  connect() {
    this.map.connect({
      moved: () => this.panel.hideTip(),
      hovered: (point, left, top) => this.panel.showTip(point, left, top),
      tapped: (point) =>
        this.inTurn(() => {
          this.before = this.view.chosen;
          return this.choose(point);
        }),
      doubleTapped: () =>
        this.inTurn(async () => {
          await this.choose(this.before); // its first click was a tap
          this.map.flyToAll();
        }),
    });
    this.panel.connect({
      typed: (text) => this.inTurn(() => this.search(text)),
      entered: (text) => this.inTurn(() => this.enter(text)),
      picked: (point) => this.inTurn(() => this.pick(point)),
      visited: (point) => this.inTurn(() => this.visit(point)),
      switched: (space) => this.inTurn(() => this.switchTo(space)),
      recoloured: (index) => this.recolour(index),
      filtered: (code, isShown) => this.filter(code, isShown),
    });
  }
}

async function begin(source) {
  const [spaces, tokens] = await Promise.all([source.spaces(), source.tokens()]);
  const [first] = spaces;
  const [points, way] = await Promise.all([source.points(first.id), source.expression(first.id)]);
  const view = new View(tokens);
  view.enter(first, { points, way, near: [] });
  await Bokeh.embed.embed_item(JSON.parse($("figure").textContent), "plot");
  const [map, panel] = [new TokenMap(view, Bokeh.documents[0]), new Panel(view)];
  panel.fill(spaces);
  map.lookAtAll();
  map.paint();
  new Page(source, view, map, panel).connect();
  document.body.dataset.ready = "yes";
}

begin(openSource());
