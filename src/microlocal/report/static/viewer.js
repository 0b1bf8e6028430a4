// A stage with a canvas that shows a part of the plane: zoom, pan, pinch, keys, and the point under the pointer.

const middle = { x: main.left + main.width / 2, y: main.top - main.height / 2 };
const wholeImage = () => Object.assign(state.view, { ...middle, zoom: 1 });
wholeImage();

class Viewer {
  constructor(root, paint, read) {
    this.stage = root.querySelector(".stage");
    this.canvas = this.stage.querySelector("canvas");
    this.readout = root.querySelector(".readout");
    this.paint = paint;
    this.read = read;
    this.pointers = new Map();
    this.listen(root);
    new ResizeObserver(() => this.resize()).observe(this.stage);
    painters.push(() => this.draw());
    this.resize();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.stage.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.stage.clientHeight * ratio));
    this.draw();
  }

  // Device pixels for each unit of length.
  get scale() {
    return state.view.zoom * Math.min(this.canvas.width / main.width, this.canvas.height / main.height);
  }

  toX(x) {
    return this.canvas.width / 2 + (x - state.view.x) * this.scale;
  }

  toY(y) {
    return this.canvas.height / 2 - (y - state.view.y) * this.scale;
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const px = ((event.clientX - box.left) / box.width) * this.canvas.width;
    const py = ((event.clientY - box.top) / box.height) * this.canvas.height;
    const { scale } = this;
    return { x: state.view.x + (px - this.canvas.width / 2) / scale, y: state.view.y - (py - this.canvas.height / 2) / scale };
  }

  draw() {
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.stage.style.touchAction = state.view.zoom > 1 ? "none" : "pan-y";
    this.paint(context, this);
  }

  drawLayer(context, layer, colours, share = 1) {
    const { scale } = this;
    context.imageSmoothingEnabled = layer.pixel * scale < 1.5;
    context.imageSmoothingQuality = "high";
    context.drawImage(layer.picture(state.slice, colours, share), this.toX(layer.left), this.toY(layer.top), layer.width * scale, layer.height * scale);
  }

  zoomBy(factor, anchor = state.view) {
    const { view } = state;
    const zoom = Math.min(64, Math.max(1, view.zoom * factor));
    const share = view.zoom / zoom;
    this.moveTo(anchor.x + (view.x - anchor.x) * share, anchor.y + (view.y - anchor.y) * share, zoom);
  }

  // The middle of the view stays on the image; at zoom 1 the image is centred.
  moveTo(x, y, zoom) {
    const room = 1 - 1 / zoom;
    const clamp = (v, c, size) => Math.min(c + (size / 2) * room, Math.max(c - (size / 2) * room, v));
    Object.assign(state.view, { x: clamp(x, middle.x, main.width), y: clamp(y, middle.y, main.height), zoom });
    changed();
  }

  listen(root) {
    const { stage } = this;
    for (const button of root.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => this.command(button.dataset.zoom));
    }
    stage.addEventListener("keydown", (event) => this.key(event));
    stage.addEventListener("dblclick", () => this.command("reset"));
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.press(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    stage.addEventListener("pointerleave", () => this.say("\u00a0"));
  }

  command(name) {
    if (name === "reset") {
      wholeImage();
      changed();
    } else this.zoomBy(name === "in" ? 1.5 : 1 / 1.5);
  }

  key(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = main.width / state.view.zoom / 12;
    const { x, y, zoom } = state.view;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (event.key in moves && zoom > 1) this.moveTo(x + moves[event.key][0], y + moves[event.key][1], zoom);
    else if (event.key === "+" || event.key === "=") this.command("in");
    else if (event.key === "-") this.command("out");
    else if (event.key === "0") this.command("reset");
    else return;
    event.preventDefault();
  }

  // Scrolling the page over an image must not zoom it by accident: the image is clicked first, or Ctrl is held.
  wheel(event) {
    if (!event.ctrlKey && !this.stage.contains(document.activeElement)) {
      this.stage.classList.add("hinting");
      clearTimeout(this.hint);
      this.hint = setTimeout(() => this.stage.classList.remove("hinting"), 1200);
      return;
    }
    event.preventDefault();
    this.zoomBy(Math.exp(-Math.max(-80, Math.min(80, event.deltaY)) / 250), this.at(event));
  }

  press(event) {
    if (event.button !== 0) return;
    this.stage.classList.remove("hinting");
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.stage.setPointerCapture(event.pointerId);
  }

  move(event) {
    const point = this.at(event);
    this.say(`x ${written(point.x)}, y ${written(point.y)} ${data.unit} · ${this.read(point.x, point.y)}`);
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, p]) => p);
    const now = { x: event.clientX, y: event.clientY };
    if (others.length === 1) {
      const distance = (p) => Math.hypot(p.x - others[0].x, p.y - others[0].y);
      const between = { clientX: (now.x + others[0].x) / 2, clientY: (now.y + others[0].y) / 2 };
      this.zoomBy(distance(now) / Math.max(1, distance(before)), this.at(between));
    } else if (state.view.zoom > 1) {
      const css = this.scale / (this.canvas.width / this.canvas.clientWidth);
      this.moveTo(state.view.x - (now.x - before.x) / css, state.view.y + (now.y - before.y) / css, state.view.zoom);
    }
    this.pointers.set(event.pointerId, now);
  }

  say(text) {
    if (this.readout) this.readout.textContent = text;
  }
}
