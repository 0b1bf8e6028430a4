// The embedded reconstructions and the state that all views share.

const data = JSON.parse(document.getElementById("report-data").textContent);

const bytesOf = (text) => {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  return bytes;
};

const greys = new Uint8Array(768).map((_, k) => Math.floor(k / 3));
const colourMaps = { grey: greys, viridis: bytesOf(data.viridis) };

const state = {
  slice: 0,
  low: data.window[0],
  high: data.window[1],
  colours: "grey",
  view: { x: 0, y: 0, zoom: 1 },
};

const painters = [];
let waiting = false;

// Draw every view again, once, before the next frame.
const changed = () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const paint of painters) paint();
  });
};

// A reconstruction: samples v = low + q (high - low) / 65535 on square pixels, row 0 on top.
class Layer {
  constructor(spec) {
    Object.assign(this, spec);
    this.width = spec.cols * spec.pixel;
    this.height = spec.rows * spec.pixel;
    this.cache = new Map();
  }

  remembered(key, make) {
    if (!this.cache.has(key)) {
      if (this.cache.size > 60) this.cache.clear();
      this.cache.set(key, make());
    }
    return this.cache.get(key);
  }

  quanta(slice) {
    return this.remembered(`samples ${slice}`, () => new Uint16Array(bytesOf(this.samples[slice]).buffer));
  }

  // Samples of the image with ``share`` of what a network added: from f* (0) to f (1).
  blended(slice, share) {
    const full = this.quanta(slice);
    if (share === 1 || !this.visible) return full;
    const start = this.remembered(`visible ${slice}`, () => new Uint16Array(bytesOf(this.visible[slice]).buffer));
    return full.map((q, k) => start[k] + share * (q - start[k]));
  }

  codes(kind, slice) {
    return this.remembered(`${kind} ${slice}`, () => {
      const packed = bytesOf(this[kind][slice]);
      const codes = new Uint8Array(this.rows * this.cols);
      for (let k = 0; k < codes.length; k++) codes[k] = (packed[k >> 2] >> (2 * (k & 3))) & 3;
      return codes;
    });
  }

  index(x, y) {
    const col = Math.floor((x - this.left) / this.pixel);
    const row = Math.floor((this.top - y) / this.pixel);
    return row >= 0 && row < this.rows && col >= 0 && col < this.cols ? row * this.cols + col : -1;
  }

  value(x, y, slice, share = 1) {
    const k = this.index(x, y);
    return k < 0 ? NaN : this.low + (this.blended(slice, share)[k] * (this.high - this.low)) / 65535;
  }

  // The slice as a canvas of its own pixels, coloured by the window.
  picture(slice, colours, share = 1) {
    const stamp = `${slice} ${state.low} ${state.high} ${colours} ${share}`;
    const key = share === 1 ? colours : "blended";
    this.pictures ??= new Map();
    const known = this.pictures.get(key);
    if (known && known.stamp === stamp) return known.canvas;
    const canvas = known ? known.canvas : blankCanvas(this.cols, this.rows);
    const image = new ImageData(this.cols, this.rows);
    const words = new Uint32Array(image.data.buffer);
    const table = this.table(colours);
    const quanta = this.blended(slice, share);
    for (let k = 0; k < words.length; k++) words[k] = table[quanta[k] >> 4];
    canvas.getContext("2d").putImageData(image, 0, 0);
    this.pictures.set(key, { stamp, canvas });
    return canvas;
  }

  // 4096 colours as little-endian RGBA words: finer than any screen shows.
  table(colours) {
    const map = colourMaps[colours];
    const table = new Uint32Array(4096);
    const span = (this.high - this.low) / 4095;
    for (let q = 0; q < 4096; q++) {
      const f = (this.low + q * span - state.low) / (state.high - state.low);
      const c = 3 * Math.round(255 * Math.min(1, Math.max(0, f)));
      table[q] = (255 << 24) | (map[c + 2] << 16) | (map[c + 1] << 8) | map[c];
    }
    return table;
  }
}

const blankCanvas = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

const layers = data.layers.map((spec) => new Layer(spec));
const main = layers[0];

// A number as a reader writes it.
const written = (value, digits = 4) => {
  if (!Number.isFinite(value)) return "–";
  const text = Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-4) ? value.toExponential(2) : `${+value.toPrecision(digits)}`;
  return text.replace("-", "−");
};
