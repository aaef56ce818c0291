"""normvol: normative volumetry of FreeSurfer brain volumes, as a BIDS-App.

Everything public is here and is imported when it is first used; ``bids_app/api.py`` says what each does.
"""

from importlib import import_module

__version__ = "1.0.0"
__all__ = ("adapt", "brain_map", "centiles", "load_model", "plot_centiles", "read_subject", "score")


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("bids_app.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
