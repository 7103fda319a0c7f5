// Asks the server: tries again where it is busy, and keeps few questions under way at once.

const TRIES = 40; // of a server that is busy
const LOST = 3; // of one that does not answer

const later = (seconds) => new Promise((go) => setTimeout(go, seconds * 1000 * (1 + Math.random() / 2)));

export class Refused extends Error {
  constructor(status, detail) {
    super(typeof detail === "string" ? detail : detail?.reason || `the server says ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

async function answered(path, body, headers = {}) {
  for (let tries = 1, lost = 0; ; tries += 1) {
    let response;
    try {
      response = await fetch(path, body === undefined ? {} : { method: "POST", body, headers });
    } catch {
      lost += 1; // the server may also have closed the connection because it is busy
      if (lost >= LOST) throw new Refused(0, "the server does not answer: is fscl serve still at work?");
      await later(1);
      continue;
    }
    if (response.ok) return response;
    if (response.status === 503 && tries < TRIES) {
      await later(Number(response.headers.get("retry-after")) || 1);
      continue;
    }
    const text = await response.text();
    let detail = text;
    try {
      detail = JSON.parse(text).detail;
    } catch {
      // plain text
    }
    throw new Refused(response.status, response.status === 500 && detail === text ? "the server failed at this photo" : detail);
  }
}

export const ask = async (...asked) => (await answered(...asked)).json();

export const pictureAt = async (path) => URL.createObjectURL(await (await answered(path)).blob());

export function queue(atOnce) {
  const waiting = [];
  let running = 0;
  const next = async () => {
    if (running >= atOnce || !waiting.length) return;
    running += 1;
    try {
      await waiting.shift()();
    } finally {
      running -= 1;
      next();
    }
  };
  return (task) => {
    waiting.push(task);
    next();
  };
}

export function directionOf(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

export const similarity = (one, other) => one.reduce((sum, value, i) => sum + value * other[i], 0);
