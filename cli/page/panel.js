"use strict";
// The panel beside the map (search box, spaces, legend, the chosen token and its neighbours) and the pointer's tip.
// Tokens are added to the document as text, never as markup.

const $ = (id) => document.getElementById(id);

function element(tag, text, properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...properties });
}

const input = (type, properties) => Object.assign(document.createElement("input"), { type, ...properties });

// Writes what a view shows, and reports what the user does to the handlers of `connect`.
class Panel {
  constructor(view) {
    this.view = view;
  }

  // `typed(text)`, `entered(text)` and `picked(point)` in the search box, `visited(point)` in the list of neighbours,
  // `switched(space)`, `recoloured(position)`, `filtered(code, isShown)`.
  connect(handlers) {
    this.handlers = handlers;
    $("search").oninput = (event) => handlers.typed(event.target.value.trim());
    $("search").onkeydown = (event) => {
      if (event.isComposing) return; // Enter ends a conversion to kanji
      if (event.key === "Enter") handlers.entered(event.target.value.trim());
      if (event.key === "Escape") handlers.typed("");
    };
    $("colouring").onchange = (event) => handlers.recoloured(event.target.selectedIndex);
  }

  fill(spaces) {
    spaces.forEach((space, position) => {
      const onchange = () => this.handlers.switched(space);
      const radio = input("radio", { name: "space", checked: !position, onchange });
      const line = document.createElement("label");
      line.append(radio, element("span", space.name));
      $("spaces").append(line);
    });
    for (const colouring of this.view.points.colourings) $("colouring").append(element("option", colouring.name));
    this.enter();
  }

  // Called when the view has entered a space.
  enter() {
    $("quality").textContent = this.view.space.quality;
    this.legend();
  }

  legend() {
    const { classes, codes } = this.view.colouring;
    const counts = new Map();
    for (const code of codes) counts.set(code, (counts.get(code) || 0) + 1);
    $("classes").replaceChildren(...classes.map((each, code) => this.legendLine(each, code, counts.get(code) || 0)));
  }

  legendLine({ name, colour }, code, count) {
    const box = input("checkbox", { checked: !this.view.hidden.has(code) });
    box.onchange = () => this.handlers.filtered(code, box.checked);
    const dot = document.createElement("i");
    dot.style.background = colour;
    const line = document.createElement("label");
    line.append(box, dot, element("span", name), element("span", count.toLocaleString("en")));
    line.hidden = !count;
    return line;
  }

  // The chosen token and its neighbours.
  describe() {
    const { view } = this;
    const panel = $("token");
    panel.replaceChildren();
    if (view.chosen < 0) return;
    const total = view.tokens.total.toLocaleString("en");
    const title = `Nearest by cosine of all ${total} tokens, ${view.space.name}:`;
    panel.append(
      element("h2", view.tokens.texts[view.chosen]),
      element("p", view.facts(view.chosen), { className: "facts" }),
      element("p", view.near.length ? title : "A vector of zeros: nothing is near.", { className: "facts" }),
    );
    const table = document.createElement("table");
    for (const { row, text, cosine } of view.near) {
      const point = view.pointOf[row];
      const line = table.insertRow();
      const onclick = () => this.handlers.visited(point);
      line.insertCell().append(element("button", text, { disabled: point < 0, onclick }));
      line.insertCell().textContent = cosine.toFixed(4);
    }
    panel.append(table);
  }

  listFound(points) {
    const lines = points.map((point) => {
      const line = document.createElement("li");
      line.append(element("button", this.view.tokens.texts[point], { onclick: () => this.handlers.picked(point) }));
      return line;
    });
    if (!lines.length) lines.push(element("li", "no token on this map", { className: "facts" }));
    $("found").replaceChildren(...lines);
  }

  clearFound() {
    $("found").replaceChildren();
  }

  showTip(point, left, top) {
    const tip = $("tip");
    tip.hidden = point < 0;
    if (tip.hidden) return;
    tip.textContent = `${this.view.tokens.texts[point]}\n${this.view.facts(point)}`;
    tip.style.left = `${left}px`;
    tip.style.top = `${top}px`;
  }

  hideTip() {
    $("tip").hidden = true;
  }
}
