// One photo on the page. Names come from files and tables: they are shown as text, never as HTML.

import { pictureAt } from "./ask.js";

const SIDE = 480; // px of the pictures that are kept

export const percent = (share) => (share >= 0.995 ? "> 99 %" : `${Math.round(100 * share)} %`);

const element = (name, kind, text) => {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
};

export class Card {
  constructor(photo, classes, does) {
    this.photo = photo;
    this.classes = classes;
    this.node = document.getElementById("card").content.firstElementChild.cloneNode(true);
    this.node.card = this;
    this.plain = this.heatPicture = null;
    this.heatWanted = this.heatShown = false;
    const at = (chosen) => this.node.querySelector(chosen);
    this.at = at;
    at(".file").textContent = photo.name;
    const select = at("select");
    select.append(new Option("label …", ""));
    for (const one of classes) select.append(new Option(one.korean ? `${one.name} · ${one.korean}` : one.name, `=${one.name}`));
    select.append(new Option("another name …", "?"));
    select.addEventListener("change", () => {
      if (select.value === "?") this.ownName();
      else does.label(photo, select.value ? select.value.slice(1) : null);
    });
    const own = at(".other input");
    own.addEventListener("change", () => does.label(photo, own.value));
    own.addEventListener("keydown", (event) => {
      if (event.isComposing) return; // Enter ends a syllable or a word of the keyboard's language first
      if (event.key === "Escape") this.labelled();
      if (event.key === "Escape" || event.key === "Enter") this.node.focus();
    });
    at(".right").addEventListener("click", () => does.right(photo));
    at(".heat").addEventListener("click", () => this.showHeat(!this.heatShown));
    at(".similar").addEventListener("click", () => does.similar(photo));
    at(".right").disabled = at(".similar").disabled = true;
    this.labelled();
  }

  ownName() {
    this.at(".other").hidden = false;
    this.at(".other input").focus();
  }

  picture(address) {
    this.plain = address;
    this.heading();
    this.draw();
  }

  noPicture(why) {
    if (this.heatShown) return;
    this.at("img").hidden = true;
    this.at(".picture .none").hidden = false;
    this.at(".picture .none").textContent = why;
  }

  answered() {
    const { answer } = this.photo;
    this.at(".right").disabled = this.at(".similar").disabled = false;
    this.at(".species").textContent = answer.species;
    this.at(".probability").textContent = percent(answer.probability);
    const known = this.classes.find((one) => one.name === answer.species);
    const names = [known?.korean, known?.scientific].filter(Boolean);
    this.at(".names").hidden = !names.length;
    this.at(".names").textContent = names.join(" · ");
    this.at(".likeliest").replaceChildren(
      ...answer.likeliest.map(([name, share]) => {
        const row = element("li");
        const bar = element("span", "bar");
        bar.setAttribute("aria-hidden", "true");
        bar.append(element("span"));
        bar.firstChild.style.width = `${100 * share}%`;
        row.append(element("span", "name", name), bar, element("span", "share", percent(share)));
        return row;
      }),
    );
    this.labelled();
  }

  // Says why there is no answer, or why a label was not kept; nothing takes it away.
  reason(why) {
    this.at(".reason").hidden = !why;
    this.at(".reason").textContent = why ?? "";
  }

  refused(why) {
    this.at(".species").textContent = "no answer";
    this.at(".probability").textContent = "";
    this.reason(why);
    if (this.at("img").hidden) this.noPicture("no picture");
    this.heading();
  }

  asked() {
    this.at(".species").textContent = "…";
    this.reason(null);
    this.heading();
  }

  // Shows the label that a person gave, and what is to be known of the answer.
  labelled() {
    const { answer, label } = this.photo;
    const isClass = this.classes.some((one) => one.name === label);
    this.node.classList.toggle("labelled", label !== null);
    this.at("select").value = label === null ? "" : isClass ? `=${label}` : "?";
    this.at(".other").hidden = label === null || isClass;
    this.at(".other input").value = label !== null && !isClass ? label : "";
    this.at(".right").setAttribute("aria-pressed", String(Boolean(answer) && label === answer.species));
    const badges = [];
    if (label !== null) badges.push(element("span", "badge good", answer && label === answer.species ? "right" : `label: ${label}`));
    if (answer?.unsure) badges.push(element("span", "badge", "unsure"));
    if (answer?.unknown) badges.push(element("span", "badge", "looks like none of the species"));
    if (this.photo.similarity !== undefined) badges.push(element("span", "badge good", `similarity ${this.photo.similarity.toFixed(2)}`));
    this.at(".badges").replaceChildren(...badges);
    this.heading();
  }

  heading() {
    const { answer, label, name } = this.photo;
    const said = answer ? `${answer.species}, ${percent(answer.probability)}${answer.unsure ? ", unsure" : ""}` : this.at(".species").textContent;
    this.node.setAttribute("aria-label", `${name}: ${said}${label !== null ? `, labelled ${label}` : ""}`);
  }

  heat({ picture, note }) {
    this.heatPicture = picture;
    this.at(".heat").disabled = picture === null;
    this.at(".heat-note").textContent = note;
    this.at(".heat-note").hidden = picture !== null;
    if (picture !== null) this.draw();
  }

  showHeat(shown) {
    this.heatWanted = shown;
    this.draw();
  }

  // Draws what is wanted, as far as it is there; a photo that the browser cannot show has its heat map at least.
  draw() {
    this.heatShown = Boolean(this.heatPicture) && (this.heatWanted || this.plain === null);
    const picture = this.heatShown ? this.heatPicture : this.plain;
    if (picture === null) return;
    if (this.heatPicture) this.at(".heat-note").hidden = !this.heatShown;
    this.at(".heat").setAttribute("aria-pressed", String(this.heatShown));
    this.at(".picture .none").hidden = true;
    const image = this.at("img");
    image.src = picture;
    image.hidden = false;
    image.alt = this.heatShown ? `heat map of ${this.photo.name}` : `photo ${this.photo.name}`;
  }

  nearest(photos, problem) {
    this.at(".near").hidden = !photos.length && !problem;
    this.at(".near-note").textContent = `most similar in training${problem ? `: ${problem}` : ""}`;
    this.at(".nearest").replaceChildren(
      ...photos.map((one) => {
        const row = element("li");
        const image = element("img");
        image.alt = "";
        pictureAt(`api/training/${one.number}`).then((address) => {
          image.src = address;
          image.alt = `training photo of ${one.label}`;
        }, () => {}); // else its name is there
        row.title = `${one.path}: ${one.label}, similarity ${one.similarity.toFixed(2)}`;
        const other = this.photo.answer && one.label !== this.photo.answer.species;
        row.append(image, element("span", other ? "other" : "", one.label), element("span", "similarity", one.similarity.toFixed(2)));
        return row;
      }),
    );
  }
}

// A small picture of a photo that the browser holds; null where it cannot decode it.
export async function smallPicture(file) {
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    return null;
  }
  const scale = Math.min(1, SIDE / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const drawing = canvas.getContext("2d");
  drawing.imageSmoothingQuality = "high";
  drawing.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
  return blob && URL.createObjectURL(blob);
}
