// The page: which photos there are, in which order, and what a person says of them.

import { ask, directionOf, pictureAt, queue, similarity } from "./ask.js";
import { Card, smallPicture } from "./card.js";
import { csv, isFormula } from "./table.js";

const PHOTO = /\.(jpe?g|jpe|jfif|mpo|png|webp|avif|heic|heif|tiff?|bmp|gif)$/i;
const STEP = 60; // photos of the folder that are shown at once
const AROUND = 300; // px around the window, in which photos are explained
const MANY = 300; // photos, of which only those in view are laid out

const by = (id) => document.getElementById(id);
const photos = new Map(); // where and name → photo
const answers = queue(4), reasons = queue(2), pictures = queue(2);
let about = null, chosen = null, known = { folder: {}, browser: {} }, shownOfFolder = 0, ofFolder = 0;

const say = (text) => { by("status").textContent = text; };
const warn = (text) => { by("message").textContent = text; by("message").hidden = !text; };
const cards = () => [...by("photos").children];
const shown = () => cards().filter((node) => !node.hidden);

// ---- photos come

function add(name, file) {
  const where = file ? "browser" : "folder";
  const key = `${where} ${name}`;
  const there = photos.get(key);
  if (there) {
    if (file && (there.file.size !== file.size || there.file.lastModified !== file.lastModified)) {
      warn(`There is another photo called ${name} already. Choose their folder instead, so that both can be told apart.`);
    }
    return;
  }
  const label = known[where][name.replaceAll("\\", "/").normalize("NFC")] ?? null;
  const photo = { name, file, where, number: photos.size, answer: null, label, kept: label, saving: Promise.resolve() };
  photos.set(key, photo);
  photo.card = new Card(photo, about.classes, { label: setLabel, right, similar });
  by("photos").append(photo.card.node);
  if (by("heats").checked) photo.card.showHeat(true);
  start(photo);
}

function start(photo) {
  const { name, file } = photo;
  if (file) {
    pictures(async () => {
      const picture = await smallPicture(file);
      if (picture) photo.card.picture(picture);
      else photo.card.noPicture("this browser cannot show it");
    });
  } else {
    pictures(async () => {
      try {
        photo.card.picture(await pictureAt(`api/picture?photo=${encodeURIComponent(name)}`));
      } catch {
        photo.card.noPicture("no picture");
      }
    });
  }
  if (file && file.size > about.most_bytes) refuse(photo, `larger than ${Math.floor(about.most_bytes / 2 ** 20)} MB`);
  else answers(() => answer(photo));
}

const asked = (photo, what) => photo.file
  ? ask(`api/${what}`, photo.file, { "content-type": "application/octet-stream" })
  : ask(`api/${what}?photo=${encodeURIComponent(photo.name)}`, "");

// Of a server that does not answer: it may be started again, and asked again.
const lost = (photo, error) => {
  photo.lost ||= error.status === 0;
  changed();
};

function askAgain() {
  for (const photo of photos.values()) {
    if (!photo.lost) continue;
    photo.lost = false;
    if (photo.problem) photo.card.asked();
    photo.problem = null;
    start(photo);
  }
  changed();
}

async function answer(photo) {
  try {
    photo.answer = await asked(photo, "answer");
  } catch (error) {
    lost(photo, error);
    if (!photo.answer) refuse(photo, error.message);
    return;
  }
  photo.direction = directionOf(photo.answer.direction);
  photo.card.answered();
  watcher.observe(photo.card.node);
  changed();
}

function refuse(photo, why) {
  photo.problem = why;
  photo.card.refused(why);
  changed();
}

// ---- why: heat map and nearest training photos, of photos that are in view

const watcher = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    reasons(() => heat(target.card.photo));
    reasons(() => nearest(target.card.photo));
  }
}, { rootMargin: `${AROUND}px` });

async function heat(photo) {
  try {
    photo.card.heat(await asked(photo, "heat"));
  } catch (error) {
    lost(photo, error);
    photo.card.heat({ picture: null, note: `no heat map: ${error.message}` });
  }
}

async function nearest(photo) {
  const which = photo.file ? "" : `?photo=${encodeURIComponent(photo.name)}`;
  try {
    const found = await ask(`api/nearest${which}`, photo.direction.buffer, { "content-type": "application/octet-stream" });
    by("training").textContent = `most similar in training: ${found.note}`; // once, for it is the same for all photos
    by("training").hidden = !found.note;
    photo.card.nearest(found.photos, "");
    if (!found.ready) setTimeout(() => reasons(() => nearest(photo)), 2000);
  } catch (error) {
    lost(photo, error);
    photo.card.nearest([], error.message);
  }
}

// ---- labels

const plain = (text) => text.normalize("NFC").toLowerCase().replace(/[\s_-]+/g, "");

function named(text) {
  const label = text.normalize("NFC").trim().replace(/\s+/g, " ");
  const same = (one) => [one.name, one.korean, one.scientific].some((name) => name && plain(name) === plain(label));
  return about.classes.find(same)?.name ?? label;
}

function setLabel(photo, text) {
  const label = text === null || !text.trim() ? null : named(text);
  if (label !== null && isFormula(label) && !about.classes.some((one) => one.name === label)) {
    notKept(photo, "Excel would run what begins with = + - or @; choose another.");
    photo.card.labelled();
    return;
  }
  photo.label = label;
  photo.card.reason(photo.problem);
  photo.card.labelled();
  say(`${photo.name}: ${label === null ? "no label" : `label ${label}`}`);
  changed();
  if (about.corrections !== null) photo.saving = photo.saving.then(() => save(photo));
}

function notKept(photo, why) {
  photo.card.reason(`Your label was not kept: ${why}`);
  say(`${photo.name}: your label was not kept: ${why}`);
}

// One after the other: each says which label it replaces. What is set while one is under way is sent next.
async function save(photo) {
  const { label, kept } = photo;
  if (label === kept) return;
  const body = JSON.stringify({ photo: photo.name, where: photo.where, label, was: kept });
  try {
    photo.kept = (await ask("api/corrections", body, { "content-type": "application/json" })).label;
    if (photo.label === label) photo.label = photo.kept;
  } catch (error) {
    if (error.status === 409) photo.kept = error.detail.label;
    photo.label = photo.kept;
    notKept(photo, error.status === 409 ? `${error.message} in the meantime. Set yours again to replace that.` : error.message);
  }
  photo.card.labelled();
  changed();
}

function right(photo) {
  if (photo.answer) setLabel(photo, photo.label === photo.answer.species ? null : photo.answer.species);
}

// ---- order and choice

function similar(photo) {
  if (!photo.direction) return;
  chosen = photo;
  const option = by("sort").querySelector("[value=similar]");
  option.disabled = false;
  option.textContent = `similarity to ${photo.name.split("/").pop()}`;
  by("sort").value = "similar";
  arrange();
  photo.card.node.scrollIntoView({ block: "nearest" });
  photo.card.node.focus();
  say(`sorted by similarity to ${photo.name}`);
}

const last = (value) => value ?? -Infinity;
const ORDERS = {
  order: (one, other) => one.number - other.number,
  name: (one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }),
  sure: (one, other) => last(other.answer?.probability) - last(one.answer?.probability),
  unsure: (one, other) => (one.answer?.probability ?? 2) - (other.answer?.probability ?? 2),
  similar: (one, other) => last(other.similarity) - last(one.similarity),
};

function arrange() {
  const order = by("sort").value;
  for (const photo of photos.values()) {
    const before = photo.similarity;
    photo.similarity = order === "similar" && photo.direction ? similarity(photo.direction, chosen.direction) : undefined;
    if (photo.similarity !== before) photo.card.labelled();
  }
  const wanted = [...photos.values()].sort((one, other) => ORDERS[order](one, other) || one.number - other.number);
  if (wanted.some((photo, place) => by("photos").children[place] !== photo.card.node)) {
    const focused = document.activeElement;
    by("photos").append(...wanted.map((photo) => photo.card.node));
    if (by("photos").contains(focused) || focused?.card) focused.focus({ preventScroll: true });
  }
  select();
}

const CHOICES = {
  all: () => true,
  unsure: (photo) => Boolean(photo.answer?.unsure),
  unknown: (photo) => Boolean(photo.answer?.unknown),
  labelled: (photo) => photo.label !== null,
  open: (photo) => photo.label === null && !photo.problem,
  problem: (photo) => Boolean(photo.problem),
};
const NAMES = { all: "all photos", unsure: "unsure", unknown: "looks like none of the species", labelled: "labelled by you", open: "not labelled by you", problem: "no answer" };
const speciesOf = (photo) => photo.label ?? photo.answer?.species ?? null;
const isChosen = (photo, choice) => choice.startsWith("=") ? speciesOf(photo) === choice.slice(1) : CHOICES[choice](photo);

function select() {
  const filter = by("filter"), now = filter.value || "all";
  const counts = new Map();
  for (const photo of photos.values()) if (speciesOf(photo) !== null) counts.set(speciesOf(photo), (counts.get(speciesOf(photo)) ?? 0) + 1);
  const count = (choice) => [...photos.values()].filter((photo) => isChosen(photo, choice)).length;
  const options = Object.keys(CHOICES).map((choice) => new Option(`${NAMES[choice]} (${count(choice)})`, choice));
  for (const name of [...counts.keys()].sort()) options.push(new Option(`${name} (${counts.get(name)})`, `=${name}`));
  if (!options.some((option) => option.value === now)) options.push(new Option(`${now.slice(1)} (0)`, now));
  filter.replaceChildren(...options);
  filter.value = now;
  for (const photo of photos.values()) photo.card.node.hidden = !isChosen(photo, now) && photo.card.node !== document.activeElement?.closest?.(".photo");
  const first = shown();
  if (first.length && !first.some((node) => node.tabIndex === 0)) {
    for (const node of cards()) node.tabIndex = -1;
    first[0].tabIndex = 0;
  }
}

let planned = false, told = "";
function changed() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    by("controls").hidden = by("table").hidden = photos.size === 0;
    by("photos").classList.toggle("many", photos.size > MANY);
    const count = (has) => [...photos.values()].filter(has).length;
    const answered = count((photo) => photo.answer), refused = count((photo) => photo.problem);
    by("progress").textContent = `${answered} of ${photos.size} answered${refused ? `, no answer for ${refused}` : ""}; ${count((photo) => photo.label !== null)} labelled by you`;
    const done = answered + refused === photos.size;
    if (done && told !== `${answered} ${refused}`) say(by("progress").textContent);
    told = done ? `${answered} ${refused}` : "";
    const again = count((photo) => photo.lost);
    by("again").hidden = !again;
    by("again").textContent = `ask again for ${again} ${again === 1 ? "photo" : "photos"}`;
    const waits = by("sort").value !== "order" && !done;
    if (waits) select(); // photos stay where they are until all are answered
    else arrange();
  });
}

// ---- keys

function neighbour(node, key) {
  const nodes = shown(), place = nodes.indexOf(node);
  const columns = nodes.filter((other) => other.offsetTop === nodes[0].offsetTop).length || 1;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  return nodes[place + step];
}

by("photos").addEventListener("keydown", (event) => {
  const node = event.target.closest(".photo");
  if (!node || event.ctrlKey || event.metaKey || event.altKey || event.target !== node) return;
  const { photo } = node.card;
  if (event.key.startsWith("Arrow")) {
    event.preventDefault();
    neighbour(node, event.key)?.focus();
  } else if (event.key === "Enter") right(photo);
  else if (event.key === "0") setLabel(photo, null);
  else if (/^[1-9]$/.test(event.key) && about.classes[event.key - 1]) setLabel(photo, about.classes[event.key - 1].name);
  else if (event.key === "h") {
    node.card.showHeat(!node.card.heatShown);
    say(node.card.at("img").alt);
  } else if (event.key === "s") similar(photo);
  else return;
  event.preventDefault();
});

by("photos").addEventListener("focusin", (event) => {
  const node = event.target.closest(".photo");
  for (const other of cards()) other.tabIndex = other === node ? 0 : -1;
});

// ---- dropped, chosen, of the folder

async function filesIn(entry) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    return [[entry.fullPath.replace(/^\//, ""), file]];
  }
  const reader = entry.createReader(), found = [];
  for (;;) { // a browser gives a hundred at a time
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return found;
    for (const one of some) found.push(...await filesIn(one));
  }
}

function take(named) {
  const files = named.filter(([name]) => !name.split("/").some((part) => part.startsWith(".")));
  const ours = files.filter(([name, file]) => PHOTO.test(name) || file.type.startsWith("image/") || !name.includes("/"));
  const safe = ours.filter(([name]) => !isFormula(name));
  const formulas = ours.filter(([name]) => isFormula(name)).map(([name]) => name);
  warn(formulas.length
    ? `Left out: ${formulas.slice(0, 5).join(", ")}${formulas.length > 5 ? ", …" : ""}. Excel would run a name that begins with = + - or @ in the table; rename the photo.`
    : !ours.length ? "There is no photo among these." : "");
  safe.sort(([one], [other]) => one.localeCompare(other, undefined, { numeric: true }));
  for (const [name, file] of safe) add(name, file);
  changed();
}

const fromInput = (input) => {
  take([...input.files].map((file) => [file.webkitRelativePath || file.name, file]));
  input.value = "";
};
by("files").addEventListener("change", (event) => fromInput(event.target));
by("tree").addEventListener("change", (event) => fromInput(event.target));
addEventListener("dragover", (event) => { event.preventDefault(); by("drop").classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) by("drop").classList.remove("over"); });
addEventListener("drop", async (event) => {
  event.preventDefault();
  by("drop").classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...event.dataTransfer.files].map((file) => [file.name, file]);
  try {
    take(entries.length ? (await Promise.all(entries.map(filesIn))).flat() : files);
  } catch (error) {
    warn(`What was dropped cannot be read: ${error.message}`);
  }
});

async function moreOfFolder() {
  by("more").disabled = true;
  try {
    const { names, total } = await ask(`api/photos?start=${shownOfFolder}&count=${STEP}`);
    ofFolder = total;
    shownOfFolder += names.length;
    for (const name of names) add(name, null);
    if (!total) warn(`There is no photo in ${about.folder}.`);
  } catch (error) {
    warn(error.message);
  }
  const left = ofFolder - shownOfFolder;
  by("more").disabled = false;
  by("more").hidden = left <= 0;
  by("more").textContent = left > STEP ? `next ${STEP} of the ${left} left in the folder` : `the ${left} left in the folder`;
  changed();
}

// ---- the table

by("download").addEventListener("click", () => {
  const sorted = [...photos.values()].sort(ORDERS.order);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv(sorted, about.folder ?? "", by("checked-only").checked)], { type: "text/csv" }));
  link.download = "corrected.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
});

by("sort").addEventListener("change", arrange);
by("filter").addEventListener("change", select);
by("heats").addEventListener("change", (event) => { for (const photo of photos.values()) photo.card.showHeat(event.target.checked); });
by("more").addEventListener("click", moreOfFolder);
by("again").addEventListener("click", askAgain);
addEventListener("beforeunload", (event) => {
  if ([...photos.values()].some((photo) => photo.label !== photo.kept)) event.preventDefault(); // in this window only
});

// ---- start

function tellAbout() {
  const names = about.classes.map((one) => (one.korean ? `${one.name} (${one.korean})` : one.name));
  document.title = `fscl: ${about.run}`;
  by("about").textContent = `${about.run} tells ${names.length} species apart: ${names.slice(0, 12).join(", ")}${names.length > 12 ? ", …" : ""}. An answer below ${Math.round(100 * about.unsure_below)} % is unsure.`;
  by("numbers").replaceChildren(...about.classes.slice(0, 9).map((one, place) => {
    const row = document.createElement("li");
    const key = document.createElement("kbd");
    key.textContent = place + 1;
    row.append(key, ` ${one.name}`);
    return row;
  }));
  by("known").replaceChildren(...about.classes.flatMap((one) => [one.name, one.korean].filter(Boolean).map((name) => new Option(name, name))));
  by("train").textContent = about.train;
  by("where").textContent = about.corrections === null
    ? "The labels that you set are in this window only: download the table before you close it."
    : `The labels that you set are also in ${about.corrections}.`;
  by("beside").textContent = "A browser does not say where photos are, only what they are called. So put the table beside the photos that you chose, or beside the folder that you chose; or name that place: --root FOLDER."
    + (about.folder === null ? "" : ` Photos of ${about.folder} have their whole path in the table.`);
}

try {
  about = await ask("api/about");
  if (about.corrections !== null) known = await ask("api/corrections");
  tellAbout();
  if (about.folder !== null) await moreOfFolder();
} catch (error) {
  warn(error.message);
}
