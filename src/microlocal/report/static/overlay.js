// Edges and pixels coloured by where they come from: 1 measured, 2 learned, 3 undetermined.

const { inks } = data;
const names = { 1: "measured", 2: "learned", 3: "undetermined" };
const shown = new Set([1, 2, 3]);
let overlayLayer = main;
let opacity = 0;
let blend = 1; // how much of the learned part is shown: 0 is f*, 1 is f

const ink = (code) => `rgb(${inks[code].join(" ")})`;

const provenancePicture = (layer, slice) =>
  layer.remembered(`provenance picture ${slice}`, () => {
    const canvas = blankCanvas(layer.cols, layer.rows);
    const image = new ImageData(layer.cols, layer.rows);
    layer.codes("provenance", slice).forEach((code, k) => {
      if (code) image.data.set([...inks[code], 255], 4 * k);
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  });

// Edges of f and of f*, each as strong as its image: those that both have stay. Squares of at least two pixels of the
// page, so that thin edges stay visible when the image is shown small.
const paintEdges = (context, viewer, layer) => {
  const step = layer.pixel * viewer.scale;
  const size = Math.max(step, 2 * (window.devicePixelRatio || 1));
  const codes = layer.codes("edges", state.slice);
  const before = layer.visible ? layer.codes("edgesVisible", state.slice) : codes;
  const left = viewer.toX(layer.left) + (step - size) / 2;
  const top = viewer.toY(layer.top) + (step - size) / 2;
  for (const code of shown) {
    context.fillStyle = ink(code);
    for (let k = 0; k < codes.length; k++) {
      const strength = (codes[k] === code ? blend : 0) + (before[k] === code ? 1 - blend : 0);
      if (strength === 0) continue;
      context.globalAlpha = strength;
      context.fillRect(left + (k % layer.cols) * step, top + Math.floor(k / layer.cols) * step, size, size);
    }
  }
  context.globalAlpha = 1;
};

const paintOverlay = (context, viewer) => {
  const layer = overlayLayer;
  viewer.drawLayer(context, layer, "grey", layer.visible ? blend : 1);
  if (opacity > 0) {
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = false;
    const { scale } = viewer;
    context.drawImage(provenancePicture(layer, state.slice), viewer.toX(layer.left), viewer.toY(layer.top), layer.width * scale, layer.height * scale);
    context.globalAlpha = 1;
  }
  paintEdges(context, viewer, layer);
};

// The edges that are told: those of f* where nothing of the learned part is shown.
const onlyMeasured = () => Boolean(overlayLayer.visible) && blend === 0;
const kindOfEdges = () => (onlyMeasured() ? "edgesVisible" : "edges");

const readOverlay = (x, y) => {
  const k = overlayLayer.index(x, y);
  if (k < 0) return "outside";
  const edge = overlayLayer.codes(kindOfEdges(), state.slice)[k];
  const pixel = overlayLayer.codes("provenance", state.slice)[k];
  const kind = edge ? `${names[edge]} edge` : pixel ? `pixel ${names[pixel]}` : "no edge";
  return `${written(overlayLayer.value(x, y, state.slice, overlayLayer.visible ? blend : 1))} 1/${data.unit}, ${kind}`;
};

new Viewer(byId("overlay"), paintOverlay, readOverlay);

const share = (count, total) => (total ? `${((100 * count) / total).toFixed(0)} %` : "–");
const counted = (codes) => {
  const counts = [0, 0, 0, 0];
  for (const code of codes) counts[code]++;
  return counts;
};

const showCounts = () => {
  const lengths = overlayLayer[onlyMeasured() ? "lengthsVisible" : "lengths"][state.slice];
  const total = lengths[1] + lengths[2] + lengths[3];
  for (const output of document.querySelectorAll("[data-count]")) {
    const length = lengths[output.dataset.count];
    output.textContent = `${written(length, 3)} ${data.unit} · ${share(length, total)}`;
  }
  for (const bar of document.querySelectorAll("[data-bar]")) bar.style.flexGrow = total ? lengths[bar.dataset.bar] / total : 0;
  byId("lengths-of").textContent = overlayLayer.visible ? (onlyMeasured() ? " in f*" : " in f") : "";
  const codes = overlayLayer.codes("provenance", state.slice);
  const pixels = counted(codes);
  const parts = [1, 2, 3].filter((code) => pixels[code]).map((code) => `${share(pixels[code], codes.length)} ${names[code]}`);
  byId("provenance-counts").textContent = parts.length ? `Of all pixels: ${parts.join(", ")}.` : "No pixel has a provenance.";
};
painters.push(showCounts);

for (const box of document.querySelectorAll("[data-edges]")) {
  const code = +box.dataset.edges;
  const toggle = () => {
    if (box.checked) shown.add(code);
    else shown.delete(code);
    changed();
  };
  box.addEventListener("change", toggle);
}
byId("provenance-opacity").addEventListener("input", (event) => {
  opacity = event.target.value / 100;
  byId("provenance-value").textContent = `${event.target.value} %`;
  changed();
});
const blendSlider = byId("blend");
const showBlend = () => {
  blend = blendSlider.value / 100;
  const words = blend === 0 ? "measured only: none" : blend === 1 ? "full image: 100 %" : `${blendSlider.value} %`;
  blendSlider.setAttribute("aria-valuetext", `${words} of the learned part`);
  byId("blend-value").textContent = `${blendSlider.value} %`;
  changed();
};
blendSlider?.addEventListener("input", showBlend);
byId("overlay-layer")?.addEventListener("change", (event) => {
  overlayLayer = layers[+event.target.value];
  if (blendSlider) blendSlider.disabled = !overlayLayer.visible;
  changed();
});
