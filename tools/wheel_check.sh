#!/bin/sh
# Install dist/*.whl into an empty environment outside the tree and run its demo: what a user gets is what was built.
# usage: wheel_check.sh PYTHON CONSTRAINTS (torch comes from wherever pip is configured to find it)
set -eu
wheel=$(ls "$PWD"/dist/*.whl)
constraints="$PWD/$2"
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$1" -m venv "$place/venv"
cd "$place"
venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
venv/bin/python -m pip install --quiet --constraint "$constraints" torch
venv/bin/python -m pip install --quiet --constraint "$constraints" "$wheel"
venv/bin/microlocal doctor
venv/bin/microlocal demo --out demo
test -s demo/image.tif && test -s demo/result.npz && test -s demo/result.json && test -s demo/report.html
echo "wheel-check: $(basename "$wheel") installs, and its demo runs"
