// The reconstructions: one over the other with a divider, the window and the colour bar.

const byId = (id) => document.getElementById(id);

const sides = { left: 0, right: Math.min(1, layers.length - 1) };
const divider = document.querySelector("#compare .divider");
let split = 0.5;

const paintCompare = (context, viewer) => {
  viewer.drawLayer(context, layers[sides.left], state.colours);
  if (!divider) return;
  const edge = Math.round(split * viewer.canvas.width);
  context.save();
  context.beginPath();
  context.rect(edge, 0, viewer.canvas.width - edge, viewer.canvas.height);
  context.clip();
  context.clearRect(edge, 0, viewer.canvas.width - edge, viewer.canvas.height);
  viewer.drawLayer(context, layers[sides.right], state.colours);
  context.restore();
};

const readCompare = (x, y) => {
  const shown = [...new Set([sides.left, sides.right])].map((k) => layers[k]);
  return `${shown.map((layer) => `${layer.label} ${written(layer.value(x, y, state.slice))}`).join(", ")} 1/${data.unit}`;
};

const compareViewer = new Viewer(byId("compare"), paintCompare, readCompare);

const moveDivider = (fraction) => {
  split = Math.min(1, Math.max(0, fraction));
  const percent = Math.round(100 * split);
  divider.style.left = `${100 * split}%`;
  divider.setAttribute("aria-valuenow", percent);
  divider.setAttribute("aria-valuetext", `${percent} % ${layers[sides.left].label}, ${100 - percent} % ${layers[sides.right].label}`);
  changed();
};

if (divider) {
  const { stage } = compareViewer;
  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    divider.focus({ preventScroll: true });
    event.stopPropagation();
  });
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const box = stage.getBoundingClientRect();
    moveDivider((event.clientX - box.left) / box.width);
    event.stopPropagation();
  });
  divider.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
    if (!(event.key in steps)) return;
    moveDivider(split + steps[event.key]);
    event.preventDefault();
  });
  for (const side of ["left", "right"]) {
    const select = byId(`${side}-layer`);
    const corner = stage.querySelector(`.corner.${side}`);
    const choose = () => {
      sides[side] = +select.value;
      corner.textContent = layers[sides[side]].label;
      moveDivider(split);
    };
    select.value = sides[side];
    select.addEventListener("change", choose);
    choose();
  }
}

// Window and level over the range of all reconstructions, but at most two windows to either side of the first one: a
// single wild pixel must not make the sliders useless.
const usual = data.window[1] - data.window[0];
const least = Math.max(data.window[0] - 2 * usual, Math.min(data.window[0], ...layers.map((layer) => layer.low)));
const most = Math.min(data.window[1] + 2 * usual, Math.max(data.window[1], ...layers.map((layer) => layer.high)));
const range = most - least || 1;
const level = byId("level");
const width = byId("width");

const paintColourBar = () => {
  const bar = document.querySelector(".colourbar");
  const image = new ImageData(256, 1);
  const map = colourMaps[state.colours];
  for (let k = 0; k < 256; k++) image.data.set([map[3 * k], map[3 * k + 1], map[3 * k + 2], 255], 4 * k);
  bar.querySelector("canvas").getContext("2d").putImageData(image, 0, 0);
  bar.querySelector(".low").textContent = written(state.low, 3);
  bar.querySelector(".middle").textContent = written((state.low + state.high) / 2, 3);
  bar.querySelector(".high").textContent = written(state.high, 3);
  byId("level-value").textContent = written((state.low + state.high) / 2, 3);
  byId("width-value").textContent = written(state.high - state.low, 3);
};
painters.push(paintColourBar);

// The width slider runs over the square, so that narrow windows can be set finely.
const showWindow = () => {
  level.value = (1000 * ((state.low + state.high) / 2 - least)) / range;
  width.value = 1000 * Math.sqrt((state.high - state.low) / range);
};

const readWindow = () => {
  const centre = least + (level.value / 1000) * range;
  const half = ((width.value / 1000) ** 2 * range) / 2;
  Object.assign(state, { low: centre - half, high: centre + half });
  changed();
};

for (const slider of [level, width]) slider.addEventListener("input", readWindow);
byId("auto-window").addEventListener("click", () => {
  [state.low, state.high] = data.window;
  showWindow();
  changed();
});
byId("colours").addEventListener("change", (event) => {
  state.colours = event.target.value;
  changed();
});
showWindow();
