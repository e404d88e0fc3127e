#!/usr/bin/env bash
# Puts kotovec on a node of a Ray cluster. `ray up` uploads it and runs it there, over ssh, as the node's own user;
# the head runs it for the nodes that it adds. What is there already is left as it is.
#
#   bash ~/kotovec/setup_node.sh EXTRAS [PACKAGE ...]
#
# A Ray cluster needs the same Ray and the same minor version of Python on every node, the driver's: Python is pinned
# here, Ray (and torch, which decides the last bits of vectors) in constraints.txt.
set -euo pipefail

PYTHON=3.11
here=$HOME/kotovec
extras=$1
shift

# uv brings Python itself where the machine has another one; a node needs curl and the internet, no root.
export PATH="$HOME/.local/bin:$PATH"
command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
test -x "$here/env/bin/python" || uv venv --python "$PYTHON" "$here/env"

# The newest wheel: an upload deletes none that an earlier one left.
wheel=$(ls -t "$here"/dist/kotovec-*.whl | head -n 1) || { echo "no wheel in dist/: make wheel" >&2; exit 1; }
uv pip install --python "$here/env/bin/python" --constraint "$here/constraints.txt" \
    --reinstall-package kotovec "kotovec[$extras] @ file://$wheel" "$@"

# Ray's launcher reads ~/.bashrc before each of its commands, `ray start`, `ray stop` and `ray exec` among them.
if ! grep -qs kotovec/env ~/.bashrc; then
    cat >>~/.bashrc <<'END'
export PATH="$HOME/kotovec/env/bin:$PATH" RAY_AUTH_MODE=token
END
fi
