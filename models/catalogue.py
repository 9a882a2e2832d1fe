"""Models by name: those that ship with the tree, and those of a registry.

| name | what |
|---|---|
| climatology, seasonal-naive | need nothing but NumPy |
| autoets, autoarima, lightgbm, lightgbm-keep | need requirements/challengers.txt |
| patch-nano, or the path of a directory that training wrote | a trained network; it forecasts demand |
| patch-nano:sales, PATH:sales | the same network, asked for what will be sold with the usual stock-outs |
| ensemble:A=0.6,B=0.4 | weighted quantiles of other models; `ensemble:A,B` fits the weights |
| chronos2:DIRECTORY | Chronos-2 from a directory with its weights |
| triton:HOST:PORT/MODEL | a model on a Triton server |
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from models.climatology import Climatology
from models.protocol import Forecaster, InputError, PanelForecaster

CHECKPOINTS = Path(__file__).parent / "checkpoints"
ENSEMBLE = "ensemble"
#: Asks a network for sales, not for demand.
SALES = ":sales"


class UnknownModelError(InputError):
    """No model has that name."""


def _seasonal_naive() -> PanelForecaster:
    from models.baselines.naive import SeasonalNaive

    return SeasonalNaive()


def _autoets() -> PanelForecaster:
    from models.baselines.statistical import AutoETS

    return AutoETS()


def _autoarima() -> PanelForecaster:
    from models.baselines.statistical import AutoARIMA

    return AutoARIMA()


def _lightgbm() -> Forecaster:
    from models.baselines.lightgbm import LightGBMForecaster

    return LightGBMForecaster("drop")


def _lightgbm_keep() -> Forecaster:
    from models.baselines.lightgbm import LightGBMForecaster

    return LightGBMForecaster("keep")


def _chronos2(where: str) -> Forecaster:
    from models.adapters.chronos2 import Chronos2Forecaster

    return Chronos2Forecaster.load(Path(where), f"chronos2:{where}")


def _triton(where: str) -> Forecaster:
    from models.adapters.triton import TritonForecaster

    return TritonForecaster.connect(where)


#: How each is made, and the package of requirements/challengers.txt that it needs.
PLAIN: dict[str, tuple[Callable[[], Forecaster | PanelForecaster], str | None]] = {
    Climatology.name: (Climatology, None),
    "seasonal-naive": (_seasonal_naive, None),
    "autoets": (_autoets, "statsforecast"),
    "autoarima": (_autoarima, "statsforecast"),
    "lightgbm": (_lightgbm, "lightgbm"),
    "lightgbm-keep": (_lightgbm_keep, "lightgbm"),
}
ADAPTERS: dict[str, Callable[[str], Forecaster]] = {"chronos2": _chronos2, "triton": _triton}


def shipped() -> tuple[str, ...]:
    """Names that `open_model` takes, without the adapters' and ensembles'."""
    return (*PLAIN, *_stored())


def _stored() -> list[str]:
    return sorted(path.parent.name for path in CHECKPOINTS.glob("*/manifest.json"))


def open_model(name: str, registry: Path | None = None) -> Forecaster | PanelForecaster:
    """Loads a model, ready to predict.

    Args:
        name: see the module's docstring, or a reference into the registry: see `models.registry`.

    Raises:
        UnknownModelError: there is no registry and the name is not one of these.
        InputError: its files cannot be read or are not those that were stored,
            or a package that it needs is not installed.
    """
    if name in PLAIN:
        make, package = PLAIN[name]
        if package is not None:
            from models.baselines.packages import challenger

            challenger(package)
        return make()
    kind, colon, rest = name.partition(":")
    if colon and kind == ENSEMBLE:
        return _ensemble(rest, registry)
    if colon and kind in ADAPTERS:
        return ADAPTERS[kind](rest)
    plain = name.removesuffix(SALES)
    directory = CHECKPOINTS / plain if plain in _stored() else Path(plain)
    if plain in _stored() or ("/" in plain and (directory / "manifest.json").is_file()):
        from models.patch import PatchForecaster

        manifest = json.loads((directory / "manifest.json").read_text())
        return PatchForecaster.load(directory, name, manifest["version"], as_sales=name != plain)
    if registry is not None:
        from models.registry import Registry

        return Registry(registry).open(name)
    raise UnknownModelError(
        f"no model {name!r} ships here, only {list(shipped())}: name one of them, or give a registry"
    )


def _ensemble(members: str, registry: Path | None) -> Forecaster:
    from models.baselines.ensemble import Ensemble

    parts = [part.strip().rpartition("=") for part in members.split(",")]
    weighted = [bool(equals) for _, equals, _ in parts]
    if any(weighted) != all(weighted):
        raise InputError(f"ensemble of {members!r}: give every member a weight as NAME=0.5, or none")
    if not all(weighted):
        return Ensemble([open_model(name, registry) for _, _, name in parts])
    try:
        weights = [float(weight) for _, _, weight in parts]
    except ValueError:
        raise InputError(f"ensemble of {members!r}: write each member as NAME=0.5, with a number") from None
    return Ensemble([open_model(name, registry) for name, _, _ in parts], weights)
