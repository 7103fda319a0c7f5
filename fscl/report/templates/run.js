"use strict";
// All text comes from the page's own data and is set as text, never as mark-up.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");

function element(tag, text, parent, attributes = {}) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (parent) parent.append(made);
  return made;
}

// Tables sort by a click on the head of a column, and back by the next.
function sortBy(table, head, column) {
  const down = head.getAttribute("aria-sort") !== "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const cells = [...body.rows].map((row) => row.cells[column]);
  const counted = cells.some((cell) => cell && "value" in cell.dataset);
  const key = (row) => {
    const cell = row.cells[column]; // none where a reason spans the rest of its row
    return counted ? Number((cell && cell.dataset.value) || -1) : cell ? cell.textContent : "";
  };
  const order = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));
  const rows = [...body.rows].sort((a, b) => (down ? order(key(b), key(a)) : order(key(a), key(b))));
  body.append(...rows);
}

for (const table of document.querySelectorAll(".sortable table")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = element("button", head.textContent, null, { type: "button" });
    head.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, head, column));
  });
}

// A cell of the confusion opens the photos behind it.
const AT_ONCE = 60;
const gallery = byId("gallery");
let waiting = [];

function image(jpeg, alt, parent) {
  element("img", "", parent, { src: "data:image/jpeg;base64," + jpeg, alt });
}

function showSome() {
  for (const [file, label, named, level, jpeg, heat] of waiting.splice(0, AT_ONCE)) {
    const figure = element("figure", "", byId("gallery-photos"), { class: "photo" });
    const pictures = element("div", "", figure);
    image(jpeg, data.classes[label] + ", named " + data.classes[named], pictures);
    if (heat) image(heat, "what spoke for " + data.classes[named], pictures);
    const caption = element("figcaption", "", figure);
    element("strong", data.classes[label], element("span", "is ", caption));
    const answer = element("span", "named ", caption);
    element("strong", data.classes[named], answer);
    answer.append(", " + (level / data.levels).toFixed(2));
    element("small", file, caption);
  }
  byId("gallery-more").hidden = !waiting.length;
}

function open(truth, named, count) {
  waiting = data.photos.filter((photo) => photo[1] === truth && photo[2] === named);
  const what = truth === named ? " named rightly" : " taken for " + data.classes[named];
  byId("gallery-title").textContent = data.classes[truth] + what + ": " + number(count);
  byId("gallery-note").textContent =
    waiting.length === count ? "" : number(waiting.length) + " of " + number(count) + " are shown.";
  byId("gallery-photos").replaceChildren();
  showSome();
  gallery.showModal();
  gallery.scrollTop = 0;
}

if (data.photos.length) {
  for (const cell of document.querySelectorAll("td[data-true]")) {
    const [truth, named] = [Number(cell.dataset.true), Number(cell.dataset.named)];
    const count = Number(cell.textContent.replaceAll(",", ""));
    const label = number(count) + ": " + data.classes[truth] + " named " + data.classes[named] + ", show them";
    const button = element("button", cell.textContent, null, { type: "button", "aria-label": label });
    cell.replaceChildren(button);
    button.addEventListener("click", () => open(truth, named, count));
  }
  for (const hint of document.querySelectorAll(".scripted")) hint.hidden = false;
}
byId("gallery-close").addEventListener("click", () => gallery.close());
byId("gallery-more").addEventListener("click", showSome);
gallery.addEventListener("click", (event) => event.target === gallery && gallery.close());

// Score → accepted, wrong, missed. Levels are whole numbers, sorted from the surest down.
function above(levels, bar) {
  let [low, high] = [0, levels.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (levels[middle] >= bar) low = middle + 1;
    else high = middle;
  }
  return low;
}

function counts(species, score) {
  const { right, wrong, photos } = data.scores[species];
  const bar = Math.round(score * data.levels);
  const [found, others] = [above(right, bar), above(wrong, bar)];
  return { accepted: found + others, wrong: others, missed: photos - found, photos };
}

function drawn(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

function draw(species, score) {
  const plot = byId("trade");
  const [left, top, height, total] = [46, 10, 150, Math.max(260, plot.clientWidth)];
  const width = total - left - 12;
  plot.setAttribute("viewBox", "0 0 " + total + " 190");
  const x = (value) => left + width * value;
  const y = (value) => top + height * (1 - value);
  const lines = { right: [], found: [] };
  for (let step = 0; step <= 200; step += 1) {
    const at = counts(species, step / 200);
    if (at.accepted) lines.right.push(x(step / 200) + "," + y((at.accepted - at.wrong) / at.accepted));
    if (at.photos) lines.found.push(x(step / 200) + "," + y((at.photos - at.missed) / at.photos));
  }
  const parts = [0, 0.5, 1].flatMap((value) => [
    drawn("line", { x1: left, x2: left + width, y1: y(value), y2: y(value), class: "grid" }),
    drawn("text", { x: left - 8, y: y(value) + 5, "text-anchor": "end" }, 100 * value + " %"),
    drawn("text", { x: x(value), y: top + height + 20, "text-anchor": "middle" }, String(value)),
  ]);
  parts.push(drawn("line", { x1: x(score), x2: x(score), y1: top, y2: top + height, class: "bar" }));
  for (const [name, points] of Object.entries(lines)) {
    parts.push(drawn("polyline", { points: points.join(" "), class: name + "-line" }));
  }
  plot.replaceChildren(...parts);
}

function explore(score) {
  const species = Number(byId("species-chosen").value);
  const at = counts(species, score);
  byId("accepted").textContent = number(at.accepted);
  byId("wrong").textContent = number(at.wrong);
  byId("missed").textContent = number(at.missed);
  byId("missed-of").textContent = "of " + number(at.photos) + " missed";
  draw(species, score);
}

if (data.scores) {
  const [slider, typed] = [byId("score"), byId("score-typed")];
  const within = (value) => Math.min(1, Math.max(0, Number(value) || 0));
  const both = (from, to) => () => {
    to.value = within(from.value);
    explore(within(from.value));
  };
  slider.addEventListener("input", both(slider, typed));
  typed.addEventListener("input", both(typed, slider));
  byId("species-chosen").addEventListener("change", () => explore(within(typed.value)));
  addEventListener("resize", () => explore(within(typed.value)));
  byId("explorer").hidden = false;
  explore(within(typed.value));
}
