// Edges and pixels coloured by where they come from: 1 measured, 2 learned, 3 undetermined.

const inks = { 1: [24, 200, 212], 2: [200, 130, 255], 3: [255, 146, 30] };
const names = { 1: "measured", 2: "learned", 3: "undetermined" };
const shown = new Set([1, 2, 3]);
let overlayLayer = main;
let opacity = 0;

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

// Edge pixels as squares of at least 1.5 device pixels: thin edges stay visible when the image is shown small.
const paintEdges = (context, viewer, layer) => {
  const step = layer.pixel * viewer.scale;
  const size = Math.max(step, 1.5);
  const codes = layer.codes("edges", state.slice);
  const left = viewer.toX(layer.left) + (step - size) / 2;
  const top = viewer.toY(layer.top) + (step - size) / 2;
  for (const code of shown) {
    context.fillStyle = ink(code);
    for (let k = 0; k < codes.length; k++) {
      if (codes[k] === code) context.fillRect(left + (k % layer.cols) * step, top + Math.floor(k / layer.cols) * step, size, size);
    }
  }
};

const paintOverlay = (context, viewer) => {
  const layer = overlayLayer;
  viewer.drawLayer(context, layer, "grey");
  if (opacity > 0) {
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = false;
    const { scale } = viewer;
    context.drawImage(provenancePicture(layer, state.slice), viewer.toX(layer.left), viewer.toY(layer.top), layer.width * scale, layer.height * scale);
    context.globalAlpha = 1;
  }
  paintEdges(context, viewer, layer);
};

const readOverlay = (x, y) => {
  const k = overlayLayer.index(x, y);
  if (k < 0) return "outside";
  const edge = overlayLayer.codes("edges", state.slice)[k];
  const pixel = overlayLayer.codes("provenance", state.slice)[k];
  const kind = edge ? `${names[edge]} edge` : pixel ? `pixel ${names[pixel]}` : "no edge";
  return `${written(overlayLayer.value(x, y, state.slice))} 1/${data.unit}, ${kind}`;
};

new Viewer(byId("overlay"), paintOverlay, readOverlay);

const share = (count, total) => (total ? `${((100 * count) / total).toFixed(0)} %` : "–");
const counted = (codes) => {
  const counts = [0, 0, 0, 0];
  for (const code of codes) counts[code]++;
  return counts;
};

const showCounts = () => {
  const edges = counted(overlayLayer.codes("edges", state.slice));
  const total = edges[1] + edges[2] + edges[3];
  for (const output of document.querySelectorAll("[data-count]")) {
    const count = edges[+output.dataset.count];
    output.textContent = `${count.toLocaleString("en").replaceAll(",", "\u202f")} · ${share(count, total)}`;
  }
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
byId("overlay-layer")?.addEventListener("change", (event) => {
  overlayLayer = layers[+event.target.value];
  changed();
});
