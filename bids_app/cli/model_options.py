"""The options of every subcommand of ``normvol-model``; defaults are those of its configuration in ``workbench/``."""

from __future__ import annotations

import argparse

from bids_app.cli.options import PAIRS, Option, pair

FORMATS = {
    "brain-reference": "folder of <region>_<sex>.Rdata (Korbmacher et al.)",
    "brain-reference-asymmetry": "the same, left minus right volumes",
    "brainchart": "folder of FIT_<phenotype>.rds or .gz (Bethlehem et al.)",
    "centilebrain": "folder of MFPmodels_subcorticalvolume_<sex>.rds (Ge et al.)",
    "braincharts": "folder of PCNtoolkit 0.x pickles (Rutherford et al.); needs --sites",
    "nomis": "NOMIS' folder bin (Potvin et al.); needs --assume",
}


def sex_code(text: str) -> tuple[str, str]:
    """``CODE=SEX`` in two."""
    code, sex = pair(text)
    if sex not in ("female", "male"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in =female or =male")
    return code, sex


TABLE: list[Option] = [
    (
        "TABLE",
        "TSV, CSV, Parquet or .xlsx with age, sex, EstimatedTotalIntraCranialVol (mm^3) and one column per region "
        "(mm^3), named as FreeSurfer names them",
    ),
    (
        "--map NAME=COLUMN...",
        "columns of TABLE with other names, for example --map age=Age Left-Thalamus=lthal",
        {**PAIRS, "dest": "mapping"},
    ),
    (
        "--sex-coding CODE=SEX...",
        "codes of sex in TABLE, for example --sex-coding 1=male 2=female",
        {**PAIRS, "type": sex_code},
    ),
    (
        "--age-units {years,months,weeks,days}",
        "unit of the ages of TABLE, where neither name nor JSON dictionary says it",
    ),
]
SCORING: list[Option] = [
    ("--model NAME|PATH", "default open-calibrated; see normvol-model list"),
    (
        "--scoring {own-sex,reference-compat}",
        "reference-compat divides by the male RMSE for everyone, as the published script does",
    ),
    ("--adapt-controls QUERY", "local healthy people among the rows of TABLE, for example 'group == \"control\"'"),
    ("--adapt-by COLUMN", "one adaptation per level of this column (scanner)"),
]
RECIPE: list[Option] = [
    (
        "--mode {calibrated,reference}",
        "calibrated (default): scale and shape of the distribution vary; reference: constant Gaussian residual, as in "
        "the source study",
    ),
    (
        "--harmonise {none,mean_only,location,full}",
        "ComBat across sites (default where TABLE has a column site: location, or mean_only in mode reference; "
        "otherwise none)",
    ),
    (
        "--regions {reference,all,thickness,area}",
        "reference: the 82 volumes of the source study; all (default): the volumes of the mode; thickness (mm) or area "
        "(mm^2) of the cortex",
    ),
    ("--etiv {yes,no}", "whether intracranial volume is a covariate (default: yes, but not of thickness)"),
    ("--min-per-sex N", "fewest people per sex (30)"),
]
PCNTOOLKIT: list[Option] = [
    ("--pcn-model {blr,hbr}", "blr: Bayesian linear regression (default); hbr: hierarchical, for at most 10 regions"),
    ("--basis {linear,polynomial,bspline,fractional-polynomial}", "of age (default bspline)"),
    ("--knots N", "of the B-spline (5)"),
    ("--powers P...", "of the fractional polynomial of age in decades (0.5 1)", {"type": float}),
    ("--constant-variance", "the variance does not depend on age"),
    ("--no-warp", "Gaussian instead of sinh-arcsinh"),
    ("--site-effect", "site is a batch effect (column site)"),
    ("--effects-in-mean", "batch effects move the mean alone, not the variance"),
    ("--exact-gradient", "fit blr by the exact gradient of its likelihood: a hundred sites in minutes, not hours"),
    ("--region REGION...", "only these regions"),
]
LIST: list[Option] = []
SHOW: list[Option] = [
    ("model NAME|PATH", "a packaged model's name or a model file"),
    ("--region REGION", "the parameters of this region"),
    ("--json", "the card as JSON"),
]
SUBJECTS: list[Option] = [
    ("SUBJECTS_DIR", "FreeSurfer's or FastSurfer's subjects directory, or a derivative with sourcedata/freesurfer"),
    ("-o --output FILE.tsv", "the table; FILE.json beside it describes the columns", {"required": True}),
    ("--longitudinal", "take the time points of the longitudinal stream (default: the cross-sectional runs)"),
    ("--nprocs N", "processes at once (default: what scheduler and cgroup allow)"),
]
WIDE: list[Option] = [
    ("TABLE", "group_long.tsv or .parquet, the folder that holds it, or a table with one column per region"),
    (
        "-o --output FILE",
        "the table to write, .csv or .tsv; FILE.json beside it describes the columns",
        {"required": True},
    ),
    ("--values VALUE...", "of a long table: value, expected, z, z_se, centile (default z)"),
    (
        "--names {freesurfer,enigma,plain}",
        "names of the columns: FreeSurfer's (default), ENIGMA's where it has one, or plain ones for REDCap and "
        "SPSS, with a data dictionary that REDCap imports",
    ),
    ("--measures MEASURE...", "only these: volume, thickness, area"),
]
TRAIN: list[Option] = [
    *TABLE,
    ("-o --output MODEL.json", "the model file", {"required": True}),
    ("--name NAME", "the model's name (default: the file's)"),
    *RECIPE,
    ("--no-counts", "do not count deviations of healthy people out of fold (five trainings less)"),
    ("--card FILE", "JSON with words for the card: title, licence, citations, limitations, ..."),
    ("--dropped FILE.tsv", "write the rows left out, with reasons"),
    (
        "--engine {normvol,pcntoolkit}",
        "pcntoolkit: fit with PCNtoolkit; the output is a folder in its format with our card",
    ),
]
TRAIN_CHANGE: list[Option] = [
    *TABLE,
    ("-o --output CHANGE.json", "the change model", {"required": True}),
    ("--model NAME|PATH", "the normative model whose z these are (default open-calibrated)"),
    ("--stream {cross,long}", "FreeSurfer's stream of the scans, where TABLE has no column stream"),
]
EVALUATE: list[Option] = [
    *TABLE,
    ("-o --output DIR", "folder for evaluation.html and its tables", {"required": True}),
    ("--folds N", "with --train: folds, stratified by site and sex (5)"),
    ("--by-site", "with --train: leave one site out instead of folds"),
    ("--seed N", "with --train: seed of the folds (0)", {"type": int}),
    *RECIPE,
]
EVALUATED: list[Option] = [
    (
        "--model NAME|PATH",
        "score TABLE with this model; for an honest answer the people of TABLE must not have been in its training",
    ),
    ("--train", "cross-validate training on TABLE itself"),
]
SCORE: list[Option] = [
    *TABLE,
    *SCORING,
    (
        "-o --output OUT.tsv",
        "z: TABLE's identifying columns and one column per region (default -, the terminal); OUT.json beside it says "
        "which model made it",
    ),
    (
        "--second-model NAME|PATH",
        "score with this model too (open-blr): OUT_second.tsv has its z, OUT_disagreements.tsv the deviations on which "
        "the two disagree",
    ),
    ("--se FILE.tsv", "standard errors of z, in the same form"),
    ("--centiles FILE.tsv", "centiles, in the same form"),
    ("--counts FILE.tsv", "deviations per row over the reference regions, and the notes on each row"),
    (
        "--chunk-rows N",
        "rows of TABLE that are held in memory at a time; the outputs do not depend on it (default 50,000)",
    ),
    ("--findings FILE.tsv", "write what can change a number: kind, row, what was seen, its effect and remedy"),
    ("--adaptation FILE.json", "write the adaptation here, and its table beside it (FILE_regions.tsv)"),
]
ANALYSE: list[Option] = [
    (*TABLE[0], {"nargs": "?", "default": None}),
    *TABLE[1:],
    (
        "-o --output OUTDIR",
        "folder of tables and group.html; results of an earlier run in it are replaced",
        {"required": True},
    ),
    (
        "--zscores Z.tsv",
        "z of the same rows, as normvol-model score wrote them; without it TABLE is scored first (OUTDIR/zscores.tsv)",
    ),
    (
        "--analysis auto|FILE.toml",
        "which column plays which role, and options (docs/clinical.md); auto (the default) proposes from the columns "
        "and writes OUTDIR/analysis.toml",
    ),
    ("--visits FILE.tsv", "clinical visits, with or without a scan: participant_id, session_id or age, and scores"),
    ("--reports-only", "rebuild group.html from the tables in OUTDIR; nothing else is read"),
]
IMPORT: list[Option] = [
    ("format FORMAT", "see below", {"choices": tuple(FORMATS)}),
    ("path DIR", "the files as published; they are not downloaded"),
    ("-o --output MODEL.json", "the model file", {"required": True}),
    ("--rmse FILE.csv", "published RMSE table to check against (default: output_rmse.csv in DIR)"),
    (
        "--offsets FILE",
        "CentileBrain: training means of models of mean-centred values (columns sex, region, K and ICV, mm^3)",
    ),
    (
        "--fs-level NAME",
        "BrainChart: level of FreeSurfer version for all scans, for example FS6_T1, or MEAN (default: by each scan's "
        "version)",
    ),
    ("--sites FILE.txt", "Braincharts: its list of sites, one per line"),
    (
        "--assume NAME=VALUE...",
        "NOMIS: what all scans share, for example manufacturer=siemens mfs=3 voxel=1 surfaceholes=mean cnr=mean",
        PAIRS,
    ),
]
COMPARE: list[Option] = [
    ("model_a A", "model A: a packaged model's name, a model file or folder"),
    ("model_b B", "model B"),
    *TABLE,
    (
        "-o --output DIR",
        "for comparison.tsv (per region), comparison_scans.tsv, comparison_models.json and comparison.html",
        {"required": True},
    ),
]
EXPORT: list[Option] = [
    ("model NAME|PATH", "a packaged model's name, a model file or folder"),
    (
        "kind {json,coefficients,centiles}",
        "json: the model file and its JSON Schema; coefficients: CSV that R's read.csv reads; "
        "centiles: TSV of region x sex x age x centile",
    ),
    ("-o --output FILE", "the file to write", {"required": True}),
    (
        "--etiv MM3",
        "centiles: intracranial volume (default: the middle of the training range of each sex)",
        {"type": float},
    ),
    ("--ages YEARS...", "centiles: default every trained year", {"type": float}),
    ("--centiles PERCENT...", "default 1 2.5 5 25 50 75 95 97.5 99", {"type": float}),
]
# Name of a group of options, per subcommand; a group without a name holds options of which exactly one is given.
GROUPS: dict[str, dict[str, list[Option]]] = {
    "train": {"options of --engine pcntoolkit": PCNTOOLKIT},
    "evaluate": {"": EVALUATED},
    "analyse": {"scoring, without --zscores": SCORING},
}
EPILOGS: dict[str, str] = {"import": "formats:\n" + "\n".join(f"  {name:<26}{text}" for name, text in FORMATS.items())}
SUBCOMMANDS: dict[str, tuple[str, list[Option]]] = {
    "list": ("list the packaged models", LIST),
    "show": ("show a model's card, or the parameters of one region", SHOW),
    "table": ("what FreeSurfer measured in every subject of a folder", SUBJECTS),
    "wide": ("one row per scan and one column per region, named as other programs want", WIDE),
    "train": ("train a model from a table of healthy people", TRAIN),
    "train-change": ("correlations over time from repeated scans of healthy people", TRAIN_CHANGE),
    "evaluate": ("how well a model (or a training recipe, cross-validated) describes healthy people", EVALUATE),
    "score": ("z-scores of a table of volumes", SCORE),
    "analyse": ("group statistics and report of a scored table", ANALYSE),
    "import": ("import a published model: Brain Reference, BrainChart, CentileBrain, Braincharts, NOMIS", IMPORT),
    "compare": ("agreement of two models on the same people", COMPARE),
    "export": ("export a model: JSON with its schema, coefficients for R, centile table", EXPORT),
}
