"""kotovec's own code as a folder that a job can import, from an installed package or a checkout."""

import shutil
from importlib.util import find_spec
from pathlib import Path

PACKAGES = (
    "kotovec",
    "kotovec.cluster",
    "kotovec.cluster.contexts",
    "kotovec.cluster.corpus",
    "kotovec.workers",
    "kotovec.store",
    "kotovec.store.evaluation",
    "kotovec.store.exchange",
    "kotovec.store.geometry",
    "kotovec.cli",
)


def stage(folder: Path) -> Path:
    """Copy the modules of every sub-package to `folder/kotovec/…`; return `folder`.

    In a checkout the sub-packages lie beside `kotovec/`, not in it: shipped as they are, `store` would be a top-level
    package.
    """
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is None or not spec.origin:
            raise ModuleNotFoundError(f"there is no package {name}", name=name)
        target = folder.joinpath(*name.split("."))
        target.mkdir(parents=True)
        for file in Path(spec.origin).parent.glob("*.py"):
            shutil.copyfile(file, target / file.name)
    return folder
