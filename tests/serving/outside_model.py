"""A model package outside the tree: written, built, installed into a folder of its own, and pushed in versions."""

import json
import subprocess
import sys
import textwrap

from models.registry import Registry

PYPROJECT = """
    [build-system]
    requires = ["setuptools"]
    build-backend = "setuptools.build_meta"
    [project]
    name = "{package}"
    version = "1.0"
    [tool.setuptools]
    py-modules = ["{package}"]
"""

# The last four weeks' mean times a factor; quantile p is 2 p times that. It can be slow or wrong on items
# of which the name begins with "sku", so that it is fit when it is loaded. The first that finds the file `breaks`
# takes it and knows no number from then on. While the file `waits` names a version, a live call of it says that it has come, and waits.
SOURCE = """
    import json, os, time
    import numpy as np
    from models import PanelForecaster

    class Scaled(PanelForecaster):
        context_days = 28

        def __init__(self, name, version, settings):
            self.name, self.version, self.settings = name, version, settings
            self.scale = 1.0

        @classmethod
        def load(cls, directory, name, version):
            return cls(name, version, json.loads((directory / "settings.json").read_text()))

        def prepare(self, precision, compiled, device):
            self.scale = self.settings.get(precision, 1.0)

        def is_to_wait(self):
            waits = self.settings.get("waits", "")
            try:
                with open(waits) as file:
                    named = file.read() == self.version
            except FileNotFoundError:
                return False
            if named:
                open(waits + ".come", "w").close()
            return named

        def predict_panel(self, panel, horizon, quantiles):
            try:
                os.unlink(self.settings.get("breaks", ""))
                self.scale = np.nan
            except FileNotFoundError:
                pass
            live = any(item.startswith("sku") for item in panel.item_ids.to_pylist())
            if live:
                time.sleep(self.settings.get("delay_s", 0.0))
                while self.is_to_wait():
                    time.sleep(0.01)
                if self.settings.get("fails"):
                    raise RuntimeError("no luck with live items")
            level = np.nanmean(panel.target[:, -28:], axis=1) * self.settings["factor"] * self.scale
            shape = np.array([1.0, *(2.0 * p for p in quantiles)])
            if live and self.settings.get("crosses"):
                shape = shape[::-1]
            return level[:, None, None] * shape[None, None, :] * np.ones((1, horizon, 1))
"""


def install(place, package, source):
    """Builds a package and installs it below `place`; returns the folder that goes on PYTHONPATH."""
    tree = place / f"{package}-source"
    tree.mkdir()
    (tree / "pyproject.toml").write_text(textwrap.dedent(PYPROJECT).format(package=package))
    (tree / f"{package}.py").write_text(textwrap.dedent(source))
    target = place / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", target, tree], check=True)
    return target


class Versions:
    """A registry with versions of the package's model, named `scaled`."""

    def __init__(self, place, monkeypatch):
        self.site = install(place, "outside_package", SOURCE)
        monkeypatch.syspath_prepend(str(self.site))
        monkeypatch.setenv("PYTHONPATH", str(self.site))
        self.registry = Registry(place / "registry")
        self._files = place / "files"

    def push(self, version, factor, **settings):
        self._files.mkdir(exist_ok=True)
        (self._files / "settings.json").write_text(json.dumps({"factor": factor, **settings}))
        (self._files / "manifest.json").write_text(json.dumps({"version": version}))
        return self.registry.push(self._files, "scaled", "outside_package:Scaled")
