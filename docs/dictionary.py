"""Write docs/dictionary.html, where a reader moves λ: ``python docs/dictionary.py``.

All rows scale: g(s; λ) = g(s/λ), Φ(s; λ) = λ Φ(s/λ), S likewise, Ψ(s; λ) = λ² Ψ(s/λ). So the page holds every curve
once, for λ = 1, and stretches it.
"""

from collections.abc import Iterator
from pathlib import Path

import torch

from microlocal.dictionary import FACES, SYMBOLS, Row, rows
from microlocal.members import load_all

REACH, PLACES = 3.0, torch.cat([torch.linspace(0, 1, 31)[1:], torch.logspace(0, 1.2, 61)[1:]]).double()
WINDOWS = {"diffusivity": (-0.1, 1.3), "regulariser": (-1.2, 4.0), "shrinkage": (-2.0, 2.0), "activation": (-2.0, 2.0)}
POWERS = {"diffusivity": 0, "regulariser": 2, "shrinkage": 1, "activation": 1}  # of λ, across
JUMP, OFF = 0.3, 300.0

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The dictionary: move λ</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; color: #222; margin: 1.5rem auto; max-width: 62rem; padding: 0 1rem; }}
label {{ position: sticky; top: 0; background: #fff; display: block; padding: .6rem 0; z-index: 1; }}
input {{ width: min(24rem, 60vw); vertical-align: middle; }}
table {{ border-collapse: collapse; width: 100%; table-layout: fixed; }}
th, td {{ padding: .2rem .4rem; text-align: center; font-weight: normal; vertical-align: bottom; font-size: .85rem; }}
thead th {{ font-size: 1rem; }} th[scope=row] {{ text-align: right; vertical-align: middle; overflow-wrap: anywhere; }}
svg {{ width: 100%; height: 6.5rem; display: block; border: 1px solid #ddd; }}
path {{ fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }}
.axis {{ stroke: #ccc; stroke-width: 1; }}
.diffusivity {{ stroke: #0072b2; }} .regulariser {{ stroke: #d55e00; }}
.shrinkage {{ stroke: #009e73; }} .activation {{ stroke: #7b3294; }}
</style></head><body>
<h1>One nonlinearity, four faces</h1>
<p>Every row is one nonlinearity as a <a href="dictionary.md">diffusivity, regulariser, shrinkage function and
activation</a>. λ is the contrast above which edges are kept; s and r run from −3 to 3.</p>
<label>λ = <output id="value">1.00</output>
<input id="contrast" type="range" min="0.2" max="2.5" step="0.01" value="1" aria-label="contrast λ"></label>
<table><thead><tr><th></th>{head}</tr></thead><tbody>
{body}
</tbody></table>
<script>
const slider = document.getElementById("contrast"), value = document.getElementById("value");
const curves = document.querySelectorAll("[data-power]");
function stretch() {{
  const contrast = Number(slider.value);
  value.textContent = contrast.toFixed(2);
  for (const curve of curves)
    curve.setAttribute("transform", `scale(${{contrast}} ${{-(contrast ** Number(curve.dataset.power))}})`);
}}
slider.addEventListener("input", stretch);
stretch();
</script></body></html>
"""


def page() -> str:
    """Return the page."""
    load_all()
    head = "".join(f'<th scope="col">{face} {SYMBOLS[face]}</th>' for face in FACES)
    return PAGE.format(head=head, body="\n".join(_row(row) for row in rows()))


def _row(row: Row) -> str:
    cells = "".join(f"<td>{_named(row, face)}{_panel(row, face)}</td>" for face in FACES)
    return f'<tr><th scope="row">{row.entry.name}</th>{cells}</tr>'


def _named(row: Row, face: str) -> str:
    name = row.formulas.names.get(face, "")
    return f"<b>{name}</b>" if face == row.formulas.best else name


def _panel(row: Row, face: str) -> str:
    low, high = WINDOWS[face]
    box = f'viewBox="{-REACH:g} {-high:g} {2 * REACH:g} {high - low:g}" preserveAspectRatio="none"'
    axes = f'<path class="axis" d="M{-REACH:g} 0H{REACH:g}M0 {-high:g}V{-low:g}"/>'
    curve = f'<path class="{face}" data-power="{POWERS[face]}" d="{"".join(_strokes(row, face))}"/>'
    return f'<svg {box} role="img" aria-label="{face} of {row.entry.name}">{axes}{curve}</svg>'


def _strokes(row: Row, face: str) -> Iterator[str]:
    """Yield the curve as a path, lifted where it jumps or is out of sight."""
    sides = [p * (1 + k * 1e-9) for p in _jumps(row, face) for k in (-1, 1)]  # a jump is drawn from both
    near = torch.tensor([-1e-9, 1e-9, *(x * k for x in sides for k in (-1, 1))], dtype=torch.float64)
    s = torch.cat((-PLACES, near, PLACES)).sort().values
    value, before = getattr(row.entry, face)(s), None
    for x, y in zip(s.tolist(), value.tolist(), strict=True):
        if abs(y) > OFF:
            before = None
            continue
        lift = before is None or (abs(y - before[1]) > JUMP and abs(x - before[0]) < 1e-6)
        yield f"{'M' if lift else 'L'}{x:.4g} {y:.4g}"
        before = x, y


def _jumps(row: Row, face: str) -> tuple[float, ...]:
    return tuple(p / 2**0.5 for p in row.facts.jumps) if face == "shrinkage" else row.facts.jumps


if __name__ == "__main__":
    Path(__file__).with_suffix(".html").write_text(page(), encoding="utf-8")
