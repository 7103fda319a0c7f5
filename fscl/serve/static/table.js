// The table of all answers: filepath and label first, as every command of fscl reads them.

const COLUMNS = ["filepath", "label", "prediction", "probability", "unsure", "checked"];

// Excel runs it; in some countries its cells end at semicolons.
export const isFormula = (text) => /(?:^|;)[\s"]*[=+\-@＝＋－＠\p{Cc}]/u.test(text);

const cell = (value) => {
  const text = String(value);
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
};

function labelOf(photo) {
  if (photo.label !== null) return photo.label;
  return photo.answer && !photo.answer.unsure && !photo.answer.unknown ? photo.answer.species : "";
}

export function csv(photos, folder, checkedOnly) {
  const rows = photos
    .filter((photo) => (photo.answer || photo.label !== null) && (photo.label !== null || !checkedOnly))
    .map((photo) => [
      photo.file ? photo.name : `${folder.replace(/\/$/, "")}/${photo.name}`,
      labelOf(photo),
      photo.answer ? photo.answer.species : "",
      photo.answer ? photo.answer.probability : "",
      photo.answer && (photo.answer.unsure || photo.answer.unknown) ? "yes" : "",
      photo.label !== null ? "yes" : "",
    ]);
  return [COLUMNS, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
}
