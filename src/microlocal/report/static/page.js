// The page around the images: theme, slices, copying, printing.

const theme = byId("theme");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
const showTheme = () => {
  theme.setAttribute("aria-pressed", isDark());
  theme.textContent = isDark() ? "Light" : "Dark";
};
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
});
dark.addEventListener("change", showTheme);
showTheme();

const sliders = document.querySelectorAll("input.slice");
const showSlice = (slice) => {
  state.slice = slice;
  for (const slider of sliders) slider.value = slice;
  for (const output of document.querySelectorAll(".slice-number")) output.textContent = data.slices[slice];
  for (const figure of document.querySelectorAll("[data-slice]")) figure.hidden = +figure.dataset.slice !== slice;
  changed();
};
for (const slider of sliders) slider.addEventListener("input", () => showSlice(+slider.value));

byId("copy")?.addEventListener("click", async (event) => {
  const text = byId("bibtex");
  window.getSelection().selectAllChildren(text);
  try {
    await navigator.clipboard.writeText(text.textContent);
    event.target.textContent = "Copied";
  } catch {
    event.target.textContent = "Selected: copy with Ctrl+C";
  }
});

window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
changed();
