"""Where an edge goes: singularities of the image and of the sinogram.

Problem. A point (x, y) traces the curve u(t) = x cos t + y sin t through the data of a parallel beam. An edge at that
point with normal φ appears in the data at one place of the curve only, t = φ, and runs along the curve there:

    (x, y, φ)  <->  (t, u, du/dt) = (φ, x cos φ + y sin φ, -x sin φ + y cos φ).

This is the canonical relation. Backwards, every edge in the data tells the position and the direction of one edge.
Here: an ellipse, three of its edges, a small dot, and 120° of views; the third edge falls into the missing part.
Claim: the boundary of the sinogram passes through each predicted place with the predicted slope, and the inverse
relation gives the edge back.
"""

import math

import numpy as np
from drawing import MEASURED, UNDETERMINED, double_arrow, figure, save, show

import microlocal as ml
from microlocal.data.phantoms import Ellipse, image, sinogram
from microlocal.wavefront import data_singularity, image_singularity, traced_curve

ELLIPSE = Ellipse(1.0, (30.0, 16.0), (6.0, 4.0), math.radians(25.0))
DOT = (-38.0, -30.0)
NORMALS = (20.0, 80.0, 150.0)
ARC = 120.0

# Setup: a half turn of views to look at, of which a limited scan has 120 degrees.
grid = ml.Grid((200, 200), 0.6)
detector = ml.Detector(200, 0.6)
turn = ml.ParallelBeam(tuple(np.radians(np.arange(0.0, 180.0, 0.5))), detector)
limited = ml.ParallelBeam(tuple(np.radians(np.arange(0.0, ARC, 0.5))), detector)
shapes = [ELLIPSE, Ellipse(1.5, (2.0, 2.0), DOT)]


def rim(phi: float) -> tuple[float, float, float]:
    """Return the point of the ellipse's rim with outward normal φ, and its support function there."""
    (a, b), (cx, cy), turned = ELLIPSE.semi_axes, ELLIPSE.center, phi - ELLIPSE.angle_rad
    width = math.hypot(a * math.cos(turned), b * math.sin(turned))
    along, across = a * a * math.cos(turned) / width, b * b * math.sin(turned) / width
    cos, sin = math.cos(ELLIPSE.angle_rad), math.sin(ELLIPSE.angle_rad)
    support = cx * math.cos(phi) + cy * math.sin(phi) + width
    return cx + along * cos - across * sin, cy + along * sin + across * cos, support


# Solve: the canonical relation of every marked edge. A half turn of views shows one of its two names.
edges = []
for degrees in NORMALS:
    phi = math.radians(degrees)
    px, py, _ = rim(phi)
    place = next(s for s in data_singularity(turn, (px, py), phi) if s.measured)
    stable = any(s.measured for s in data_singularity(limited, (px, py), phi))
    edges.append((px, py, phi, place, stable))

# Figure.
drawn = figure(10.5, 4.4)
left, right = drawn.subplots(1, 2, width_ratios=(1, 1.35))
show(left, image(shapes, grid, oversampling=3), grid, "image: points with directions", (-0.2, 1.8))
data = np.sqrt(sinogram(shapes, turn).T)  # so that the dot's faint trace shows beside the ellipse's
right.imshow(data, cmap="gray", extent=(0, 180, *detector.edges), origin="lower", aspect="auto", vmax=1.6 * data.max())
right.set(title="sinogram: places with slopes", xlabel="view t [degrees]", ylabel="detector u", xlim=(0, 180))
right.axvspan(ARC, 180, facecolor=UNDETERMINED, alpha=0.22, hatch="///", edgecolor=(1, 1, 1, 0.25), lw=0)
right.text(ARC + 30, -52, "not measured", ha="center", color="white", fontsize=10)
views = turn.angles
for px, py, phi, place, stable in edges:
    colour = MEASURED if stable else UNDETERMINED
    double_arrow(left, px, py, phi, 9.0, colour)
    left.plot(px, py, "o", ms=4, color=colour)
    u, _ = traced_curve(turn, np.asarray(px), np.asarray(py), views)
    right.plot(np.degrees(views), u, "--", lw=0.8, color=colour, alpha=0.9)
    ahead = np.radians(np.array([-13.0, 13.0]))
    line = place.u + place.slope * ahead
    right.plot(np.degrees(place.angle_rad + ahead), line, lw=2.4, color=colour, solid_capstyle="round")
    right.plot(np.degrees(place.angle_rad), place.u, "o", ms=6, color=colour, mec="white", mew=0.8)
    right.annotate(f"{math.degrees(phi):.0f}°", (math.degrees(place.angle_rad), place.u + 6), color=colour, ha="center")
    left.annotate(
        f"{math.degrees(phi):.0f}°",
        (px + 13 * math.cos(phi), py + 13 * math.sin(phi)),
        color=colour,
        ha="center",
        va="center",
        fontsize=10,
    )
left.annotate("a point ...", DOT, (DOT[0] + 5, DOT[1] - 9), color="white", fontsize=10)
right.annotate(
    "... and its curve",
    (52, traced_curve(turn, *map(np.asarray, DOT), np.radians(52.0))[0]),
    (62, -40),
    color="white",
    fontsize=10,
    arrowprops={"arrowstyle": "-", "color": "white", "lw": 0.8},
)
print(save(drawn, "canonical_relation"))

# The claim: u(t) of the sinogram's boundary is the ellipse's support function, so its slope is the support's.
for px, py, phi, place, stable in edges:
    t = place.angle_rad
    slope = (rim(t + 1e-5)[2] - rim(t - 1e-5)[2]) / 2e-5
    assert abs(place.u - rim(t)[2]) < 1e-9
    assert abs(place.slope - slope) < 1e-6
    back = image_singularity(turn, place.angle_rad, place.u, place.slope)
    assert math.dist((back.x, back.y), (px, py)) < 1e-9
    assert stable == (math.degrees(phi) <= ARC)
print("every edge was predicted, and found back from its trace")
