"""The stats reader: FreeSurfer's dialects, damage, and 10,000 mutations."""

from __future__ import annotations

import math
import os
import random
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.errors import StatsFileError
from bids_app.freesurfer.stats import parse_stats, read_stats
from bids_app.freesurfer.synthetic import write_subject

ASEG = """# Title Segmentation Statistics
#
# generating_program mri_segstats
# cvs_version 7.4.1
# subjectname sub-01
# Measure BrainSeg, BrainSegVol, Brain Segmentation Volume, 1009498.000000, mm^3
# Measure Cortex, CortexVol Total cortical gray matter volume, 498536.9, mm^3
# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, 1243990.209735, mm^3
# NRows 3
# NTableCols 6
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName SNR
  1   4      5305     5645.4  Left-Lateral-Ventricle            31.3776
  2  10      7195     6959.9  Left-Thalamus                        -nan
  3  72         0        0.0  5th-Ventricle                         nan
"""


def parse(text: str | bytes):
    return parse_stats(text.encode() if isinstance(text, str) else text, "aseg.stats")


def test_measures_are_known_by_their_second_field_even_without_its_comma():
    measures = parse(ASEG).measures
    assert list(measures) == ["BrainSegVol", "CortexVol", "eTIV"]
    assert measures["CortexVol"].value == 498536.9
    assert measures["CortexVol"].description == "Total cortical gray matter volume"
    assert measures["eTIV"].unit == "mm^3"


def test_repeated_first_fields_do_not_overwrite_each_other():
    cortex = [
        "# Measure Cortex, NumVert, Number of Vertices, 139841, unitless",
        "# Measure Cortex, WhiteSurfArea, White Surface Total Area, 92881.1, mm^2",
        "# Measure Cortex, MeanThickness, Mean Thickness, 2.50118, mm",
    ]
    measures = parse("\n".join(cortex) + "\n").measures
    values = [measures[name].value for name in ("NumVert", "WhiteSurfArea", "MeanThickness")]
    assert values == [139841, 92881.1, 2.50118]


def test_the_table_follows_colheaders_and_keeps_nan_and_zero():
    table = parse(ASEG).table
    assert list(table.columns) == ["Index", "SegId", "NVoxels", "Volume_mm3", "StructName", "SNR"]
    assert table["NVoxels"].tolist() == [5305, 7195, 0]
    assert table["NVoxels"].dtype == "int64"
    assert table.set_index("StructName")["Volume_mm3"].to_dict() == {
        "Left-Lateral-Ventricle": 5645.4,
        "Left-Thalamus": 6959.9,
        "5th-Ventricle": 0.0,
    }
    assert table["SNR"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text + text,
        lambda text: text + b"\n\n",
    ],
    ids=["byte-order mark", "CRLF", "appended to itself", "blank lines"],
)
def test_harmless_damage_changes_nothing(change):
    whole = parse(ASEG)
    found = parse(change(ASEG.encode()))
    assert found.measures == whole.measures
    assert found.table.equals(whole.table)


def test_a_file_that_was_appended_to_itself_is_noted():
    assert parse(ASEG + ASEG).notes == ("3 rows of aseg.stats were there twice, with equal values",)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: "", "empty"),
        (lambda t: "\n \n", "empty"),
        (lambda t: t[:-8], "last line is not complete"),
        (lambda t: t[: t.index("  3  72")], "announces 3 rows and has 2"),
        (lambda t: t[: t.index("  1   4")], "announces 3 rows and has 0"),
        (lambda t: t[: t.index("# NTableCols")], "does not name the columns"),
        (lambda t: t + t.replace("5645.4", "5645.5"), "Left-Lateral-Ventricle twice with different values"),
        (lambda t: t + t.replace("1009498", "1009499"), "BrainSegVol twice"),
        (lambda t: t.replace("6959.9", "6959,9"), "not a number"),
        (lambda t: t.replace("1009498.000000, mm^3\n# Measure Cortex, CortexVol ", "10# "), "cannot be read"),
        (lambda t: t.replace("6959.9", "6_959.9"), "not a number"),
        (lambda t: t.replace("6959.9", "inf"), "not a number"),
        (lambda t: t.replace("6959.9", ""), "5 of 6 columns"),
        (lambda t: t.replace("1243990.209735", "many"), "eTIV should be a number"),
        (lambda t: t.replace("6959.9", "\u0661\u0662"), "not a number"),
        (lambda t: t.replace("6959.9", "69\x0059.9"), "not text"),
        (lambda t: t.replace(" Volume_mm3", " NVoxels"), "names its columns wrongly"),
        (lambda t: t.replace("NTableCols 6", "NTableCols 7"), "names its columns wrongly"),
        (lambda t: t.replace("NRows 3", "NRows many"), "not a count"),
        (lambda t: "../../.git/annex/objects/4f/Pm/SHA256E-s9518--7e9d.stats/SHA256E-s9518--7e9d.stats", "datalad get"),
        (lambda t: "/annex/objects/SHA256E-s9518--7e9d.stats\n", "datalad get"),
        (lambda t: "participant_id\tage\nsub-01\t30\n", "no header"),
    ],
)
def test_damage_is_told_in_a_sentence(damage, message):
    with pytest.raises(StatsFileError, match=message):
        parse(damage(ASEG))


def test_a_table_without_rows_is_a_cut_file():
    text = "# Table of FreeSurfer cortical parcellation anatomical statistics\n# ColHeaders StructName GrayVol\n"
    with pytest.raises(StatsFileError, match="has a header but no rows"):
        parse(text)


def test_columns_that_contradict_their_description_are_refused():
    text = ASEG.replace("# NRows", "# TableCol  4 ColHeader NVoxels\n# NRows")
    with pytest.raises(StatsFileError, match="describes other columns"):
        parse(text)


def test_brainvol_has_measures_and_no_table():
    found = parse("# Measure Mask, MaskVol, Mask Volume, 1259522.000000000000, mm^3\n")
    assert found.columns is None
    assert found.table is None
    assert found.measures["MaskVol"].value == 1259522


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.stats")
    (tmp_path / "folder.stats").mkdir()
    (tmp_path / "link.stats").symlink_to("../.git/annex/objects/x")
    for name, message in (
        ("pipe", "not a stats file"),
        ("folder", "not a stats file"),
        ("link", "datalad get"),
        ("absent", "does not exist"),
    ):
        with pytest.raises(StatsFileError, match=message):
            read_stats(tmp_path / f"{name}.stats")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Mask, MaskVol, 5.0, mm^3", "measure without a name"),
        ("Mask, MaskVol words, more, 5.0, mm^3", "measure without a name"),
        ("Mask, , words, 5.0, mm^3", "measure without a name"),
        ("Mask, MaskVol words 5.0, mm^3", "cannot be read"),
        ("Mask, MaskVol, words, 5.0, mm^3, more", "cannot be read"),
        ("Mask, MaskVol, words # more, 5.0, mm^3", "cannot be read"),
        ("Mask, MaskVol, w\u00f6rds, 5.0, mm^3", "cannot be read"),
        ("Mask, MaskVol, words, -inf, mm^3", "MaskVol should be a number"),
    ],
)
def test_a_measure_that_cannot_be_read_is_refused(line, message):
    with pytest.raises(StatsFileError, match=message):
        parse(f"# Measure {line}\n")


def test_a_measure_that_is_there_twice_may_be_unknown_once():
    both = "# Measure a, b, c, {}, mm^3\n# Measure a, b, c, {}, mm^3\n"
    assert math.isnan(parse(both.format("nan", "5")).measures["b"].value)
    assert parse(both.format("5", "nan")).measures["b"].value == 5
    assert parse(both.format("5", "5.0")).measures["b"].value == 5
    with pytest.raises(StatsFileError, match=r"twice with different values \(5 and 6\)"):
        parse(both.format("5", "6"))


def table_of(*rows, header=""):
    return parse(f"{header}# ColHeaders StructName Index Value\n" + "".join(f"{row}\n" for row in rows))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("# NRows 2\n# NTableCols 3\n", ""),
        ("# NRows 000000002\n", ""),
        ("# NRows 0000000002\n", "not a count"),
        ("# NRows 1\n", "announces 1 rows and has 2"),
        ("# NRows 3\n", "announces 3 rows and has 2"),
        ("# NRows 2\n# NRows 3\n", "NRows twice"),
        ("# subjectname a\n# subjectname  a \n", ""),
        ("# TableCol 1 ColHeader StructName\n# TableCol 2 ColHeader Index\n# TableCol 3 ColHeader Value\n", ""),
        ("# TableCol 1 ColHeader StructName\n", "other columns"),
        ("# TableCol 1 ColHeader a\n# TableCol 1 ColHeader b\n", "inconsistently"),
        ("# TableCol x ColHeader a\n", "inconsistently"),
        ("# TableCol 1 ColHeader\n# TableCol 1 Units mm\n# TableCol 1 x ColHeader\n", ""),
        ("# NTableCols \n", ""),
    ],
)
def test_what_the_header_may_say_of_the_table(header, message):
    if message:
        with pytest.raises(StatsFileError, match=message):
            table_of("a 1 2", "b 2 3", header=header)
    else:
        assert table_of("a 1 2", "b 2 3", header=header).columns["Value"] == [2, 3]


def test_whole_numbers_are_integers_where_none_is_missing():
    assert table_of("a 1 2", "b nan 3").table["Index"].dtype == float
    assert table_of("a 1 2", "b 2 3").table.dtypes.astype(str).tolist()[1:] == ["int64", "float64"]
    assert table_of("a 1 2").columns == {"StructName": ["a"], "Index": [1.0], "Value": [2.0]}


def test_rows_that_are_there_twice_may_lack_the_same_value():
    found = table_of("a 1 nan", "b 2 3", "a 1 nan", "b 2 3")
    assert found.columns["StructName"] == ["a", "b"]
    assert found.notes == ("2 rows of aseg.stats were there twice, with equal values",)
    assert table_of("a 1 nan").notes == ()
    for other in ("a 1 3", "a 2 nan"):
        with pytest.raises(StatsFileError, match="gives a twice"):
            table_of("a 1 nan", other)
    with pytest.raises(StatsFileError, match="gives a twice"):
        table_of("a 1 3", "a 1 nan")


@pytest.mark.parametrize("cell", ["-inf", "1_0", "x", "\u0663", "infinity"])
def test_the_row_of_a_cell_that_is_no_number_is_named(cell):
    with pytest.raises(StatsFileError, match="in the row of b"):
        table_of("a 1 2", f"b 2 {cell}", "c 3 4")


def test_columns_are_named_once_and_structures_have_a_column():
    for names in ("Index Value", "StructName Index Index"):
        with pytest.raises(StatsFileError, match="names its columns wrongly"):
            parse(f"# ColHeaders {names}\n")


@pytest.mark.parametrize(
    "text", ["# a b\nrow 1\n", "# Title x\n", "# Table of x\n", "# TableCol 1 ColHeader a\n# b c\n"]
)
def test_a_table_whose_columns_are_not_named_is_damaged(text):
    with pytest.raises(StatsFileError, match="does not name the columns"):
        parse(text)


def test_a_header_alone_or_measures_alone_are_a_stats_file():
    assert parse("# a  b c \n# a second\n").header == {"a": "b c"}
    assert parse("#\n# Measure a, b, c, 1, mm\n").measures["b"].value == 1
    with pytest.raises(StatsFileError, match="no header"):
        parse("# Measure\n".replace("Measure", "TableCol 1 Units mm"))


def test_old_line_ends_and_line_ends_inside_lines():
    assert parse("# a b\r\n# c d\r\n").header == {"a": "b", "c": "d"}
    assert parse("# a b\n# c d\r").header == {"a": "b", "c": "d"}
    with pytest.raises(StatsFileError, match="line ends inside"):
        parse("# a b\r# c d\n")


def test_a_file_of_8_mb_is_read_and_a_larger_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("bids_app.freesurfer.stats._LARGEST", 6)
    path = tmp_path / "a.stats"
    path.write_text("# a b\n")
    assert read_stats(path).header == {"a": "b"}
    path.write_text("# a bc\n")
    with pytest.raises(StatsFileError, match="far too large"):
        read_stats(path)


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    def refused(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refused)
    with pytest.raises(StatsFileError, match="Permission denied") as error:
        read_stats("aseg.stats")
    assert error.value.remedy == "check its permissions"


# --- mutations -------------------------------------------------------------------------------------------------


def sources(folder) -> list[bytes]:
    """Two synthetic files of FreeSurfer 7's form and the small one above."""
    tree = write_subject(folder / "sub-01", {}, etiv=1.5e6)
    names = ("aseg.stats", "lh.aparc.stats", "brainvol.stats")
    return [(tree / "stats" / name).read_bytes() for name in names] + [ASEG.encode()]


def cut(text, rng):
    return text[: rng.randrange(len(text))]


def drop_lines(text, rng):
    lines = text.splitlines(keepends=True)
    start = rng.randrange(len(lines))
    del lines[start : start + rng.randint(1, 5)]
    return b"".join(lines)


def repeat_lines(text, rng):
    lines = text.splitlines(keepends=True)
    start = rng.randrange(len(lines))
    end = start + rng.randint(1, len(lines))
    return b"".join([*lines[:end], *lines[start:end], *lines[end:]])


def swap_lines(text, rng):
    lines = text.splitlines(keepends=True)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]
    return b"".join(lines)


def splice(text, rng):
    start = rng.randrange(len(text))
    return text[:start] + text[rng.randrange(len(text)) :]


def flip(text, rng):
    data = bytearray(text)
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


JUNK = (
    b"\0",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b"#",
    b",",
    b"# Measure ",
    b"nan",
    b"\xff\xfe",
    b"9" * 5000,
    b"1_0",
    b"e999",
    b"\x0b",
    b"\x1e",
    b"\x85",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b"-",
    b"+",
    b"# NRows 2\n",
    b"%s",
    b"1e5",
)


def insert(text, rng):
    position = rng.randrange(len(text))
    return text[:position] + rng.choice(JUNK) + text[position:]


RESPELLINGS = (
    lambda t: b"\xef\xbb\xbf" + t,
    lambda t: t.replace(b"\n", b"\r\n"),
    lambda t: t + t,
    lambda t: t.replace(b"\n", b"\r"),
    lambda t: t.decode().encode("utf-16"),
    lambda t: t.replace(b" ", b"\t"),
    lambda t: t.replace(b".", b","),
    lambda t: t[::-1],
)


def respell(text, rng):
    return rng.choice(RESPELLINGS)(text)


MUTATIONS = (cut, drop_lines, repeat_lines, swap_lines, splice, flip, insert, respell)
# After these a value that is still there must be the original one; the others may rewrite digits themselves
FAITHFUL = {cut, drop_lines, repeat_lines, swap_lines, respell}


def said(content: bytes) -> tuple[dict, dict]:
    """Measures and rows of a whole file by the shortest possible reading."""
    found = parse(content)
    measures = {name: measure.value for name, measure in found.measures.items()}
    rows = {} if found.columns is None else dict(zip(found.columns["StructName"], zip(*found.columns.values())))
    return measures, rows


def assert_literal(content: bytes, measures: dict, rows: dict) -> None:
    """Every value returned stands in the mutated text itself, in the line of its name."""
    lines = content.decode("utf-8-sig", errors="replace").split("\n")
    table = {line.split()[i]: line.split() for line in lines if line[:1] != "#" for i in range(len(line.split()))}
    for name, row in rows.items():
        cells = table[name]
        assert len(cells) == len(row)
        assert all(cell == value or same(float(cell), value) for cell, value in zip(cells, row))
    for name, value in measures.items():
        assert any(
            name in line and same(float(line.split(",")[-2]), value)
            for line in lines
            if line[:1] == "#" and line[1:].split()[:1] == ["Measure"]
        )


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def equal(a: dict, b: dict) -> bool:
    return all(repr(b.get(name)) == repr(value) for name, value in a.items())


@pytest.mark.slow
def test_10000_mutations_give_correct_values_or_our_error(tmp_path):
    rng = random.Random(20260101)
    whole = [(text, *said(text)) for text in sources(tmp_path)]
    read, slowest = 0, 0.0
    for number in range(10_000):
        text, measures, rows = rng.choice(whole)
        mutation = MUTATIONS[number % len(MUTATIONS)]
        mutated = mutation(text, rng)
        start = time.perf_counter()
        try:
            found = said(mutated)
        except StatsFileError:
            continue
        finally:
            slowest = max(slowest, time.perf_counter() - start)
        read += 1
        assert_literal(mutated, *found)
        if mutation in FAITHFUL:
            assert equal(found[0], measures), mutation
            assert equal(found[1], rows), mutation
    assert 500 < read < 9_000
    assert slowest < 2.0


@settings(max_examples=300, deadline=2000)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_never_raise_anything_else(content):
    with suppress(StatsFileError):
        parse(content)


@settings(max_examples=200, deadline=2000)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["# ", "", "# Measure ", "# ColHeaders ", "# NRows ", "# TableCol "]),
            st.text(alphabet="StructName Vol,.0123456789-nan_\t", max_size=40),
        ),
        max_size=12,
    )
)
def test_arbitrary_stats_like_lines_never_raise_anything_else(lines):
    with suppress(StatsFileError):
        parse("".join(start + rest + "\n" for start, rest in lines))


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9&-]{1,20}", fullmatch=True),
        st.floats(0, 1e7, allow_nan=False),
        min_size=1,
        max_size=20,
    )
)
def test_what_is_written_is_read_back_exactly(values):
    rows = "".join(f"{name} {value!r}\n" for name, value in values.items())
    text = f"# Title x\n# NRows {len(values)}\n# ColHeaders StructName Volume_mm3\n{rows}"
    assert dict(zip(*parse(text).columns.values())) == values
