"""Turn a model that others have published into a model file of this software."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bids_app.cli import exitcodes
from bids_app.cli.model_options import say

HELP = "import a published model: Brain Reference, CentileBrain, Braincharts, NOMIS"
FORMATS = {
    "brain-reference": "folder of <region>_<sex>.Rdata (Korbmacher et al.)",
    "brain-reference-asymmetry": "the same, left minus right volumes",
    "centilebrain": "folder of MFPmodels_subcorticalvolume_<sex>.rds (Ge et al.)",
    "braincharts": "folder of PCNtoolkit 0.x pickles (Rutherford et al.); needs --sites",
    "nomis": "NOMIS' folder bin (Potvin et al.); needs --assume",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """FORMAT, the files, and what they do not say."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "formats:\n" + "\n".join(f"  {name:<26}{text}" for name, text in FORMATS.items())
    parser.add_argument("format", choices=tuple(FORMATS), metavar="FORMAT", help="see below")
    parser.add_argument("path", type=Path, metavar="DIR", help="the files as published; they are not downloaded")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL.json", help="the model file")
    parser.add_argument(
        "--rmse",
        type=Path,
        metavar="FILE.csv",
        help="published RMSE table to check against (default: output_rmse.csv in DIR)",
    )
    parser.add_argument(
        "--offsets",
        type=Path,
        metavar="FILE",
        help="CentileBrain: what to add to models of mean-centred volumes (columns sex, region, K)",
    )
    parser.add_argument("--sites", type=Path, metavar="FILE.txt", help="Braincharts: its list of sites, one per line")
    parser.add_argument(
        "--assume",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="NOMIS: what all scans share, for example manufacturer=siemens mfs=3 voxel=1 surfaceholes=mean cnr=mean",
    )


def run(arguments: argparse.Namespace) -> int:
    """Import, save, and say whose model it is."""
    from bids_app.normative import model_file
    from bids_app.normative.engines import terms as terms_model

    model = _imported(arguments)
    save = terms_model.save if isinstance(model, terms_model.TermsModel) else model_file.save
    path = save(model, arguments.output)
    say(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB): {len(model.regions)} regions")
    for citation in model.card.citations:
        say(f"please cite {citation}")
    say(f"licence of the model: {model.card.licence}")
    for sentence in (*model.card.z_notes, *model.card.limitations):
        say(sentence)
    return exitcodes.OK


def _imported(arguments: argparse.Namespace) -> Any:
    from bids_app.errors import UsageError

    if arguments.format.startswith("brain-reference"):
        from bids_app.normative.importers.brain_reference import import_brain_reference

        return import_brain_reference(arguments.path, arguments.rmse, asymmetry=arguments.format.endswith("asymmetry"))
    if arguments.format == "centilebrain":
        from bids_app.normative.importers.centilebrain import import_centilebrain

        return import_centilebrain(arguments.path, arguments.offsets)
    if arguments.format == "braincharts":
        from bids_app.normative.importers.braincharts import SITES_SOURCE, import_braincharts

        if arguments.sites is None:
            raise UsageError(f"braincharts needs --sites FILE, the sites in the order of the design: {SITES_SOURCE}")
        return import_braincharts(arguments.path, arguments.sites)
    from bids_app.normative.importers.nomis import import_nomis

    pairs = [text.partition("=") for text in arguments.assume]
    wrong = [name for name, separator, value in pairs if not (name and separator and value)]
    if wrong:
        raise UsageError(f"--assume takes NAME=VALUE, not {' '.join(wrong)}")
    return import_nomis(arguments.path, {name: value for name, _, value in pairs})
