"""Age and sex of scans from the tables of a dataset."""

import pandas as pd
import pytest

from bids_app.bids.covariates import COLUMNS, read_covariates, scan_covariates
from bids_app.bids.layout import Scan, find_scans
from bids_app.errors import BIDSError
from tests.bids.conftest import table

ONE = (Scan("01"),)


def read(root, scans=ONE, **options):
    return read_covariates(root, list(scans), **options)


def first(root, scans=ONE, **options):
    return read(root, scans, **options).iloc[0]


def test_plain_participants_table(make_dataset):
    root = make_dataset({"participants.tsv": table("participant_id age sex site", "sub-01 61.2 F a")})
    row = first(root)
    assert list(row.index[:8]) == list(COLUMNS)
    assert (row.participant_id, row.age, row.sex, row.site) == ("sub-01", 61.2, "female", "a")
    assert (row.age_source, row.sex_source) == ("participants.tsv:age", "participants.tsv:sex")
    assert pd.isna(row.problem)
    assert pd.isna(row.note)
    assert pd.isna(row.session_id)


@pytest.mark.parametrize(
    "header",
    [
        "participant_id Age Gender",
        "\ufeffparticipant_id AGE SEX",
        "participant_id age_at_first_scan_years gender",
        "participant_id age_years biological_sex",
        "subject_id age(years) sex",
        "participant_id age_at_mri Sex",
    ],
)
def test_columns_by_other_names(make_dataset, header):
    row = first(make_dataset({"participants.tsv": table(header, "sub-01 40 M")}))
    assert (row.age, row.sex) == (40, "male")


@pytest.mark.parametrize("name", ["age_at_onset", "age_group", "language", "average", "age_at_diagnosis", "bone_age"])
def test_other_ages_are_not_taken_for_the_age(make_dataset, name):
    row = first(make_dataset({"participants.tsv": table(f"participant_id {name} sex", "sub-01 40 M")}))
    assert pd.isna(row.age)
    assert "no column age" in row.problem
    assert row[name] == 40


def test_crlf_and_bom(make_dataset):
    text = "\ufeffparticipant_id\tage\tsex\r\nsub-01\t40\tM\r\n"
    root = make_dataset({})
    (root / "participants.tsv").write_bytes(text.encode())
    assert first(root).age == 40


def test_age_column_in_months_by_name_and_by_sidecar(make_dataset):
    by_name = make_dataset({"participants.tsv": table("participant_id age_months sex", "sub-01 120 M")})
    assert first(by_name).age == pytest.approx(10)
    by_sidecar = make_dataset(
        {
            "participants.tsv": table("participant_id age sex", "sub-01 120 M"),
            "participants.json": {"age": {"Units": "month"}},
        },
        "other",
    )
    row = first(by_sidecar)
    assert row.age == pytest.approx(10)
    assert "months" in row.note


def test_top_coded_age_is_read_with_a_note(make_dataset):
    row = first(make_dataset({"participants.tsv": table("participant_id age sex", "sub-01 89+ M")}))
    assert row.age == 89
    assert "89+" in row.note


def test_numeric_sex_needs_levels(make_dataset):
    tsv = table("participant_id age sex", "sub-01 40 2")
    refused = first(make_dataset({"participants.tsv": tsv}))
    assert pd.isna(refused.sex)
    assert "sex '2'" in refused.problem
    assert "Levels" in refused.problem
    levels = {"Sex": {"Levels": {"1": "male", "2": "female"}}}
    explained = first(make_dataset({"participants.tsv": tsv, "participants.json": levels}, "other"))
    assert explained.sex == "female"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["participant_id age sex", "sub-02 40 M"], "no row for sub-01"),
        (["participant_id age sex", "1 40 M"], "it has '1'"),
        (["participant_id age sex", "sub-01 n/a M"], "column age of participants.tsv is empty"),
        (["participant_id age sex", "sub-01 20-25 M"], "range"),
        (["participant_id age sex", "sub-01 40 O"], "neither female nor male"),
        (["participant_id age", "sub-01 40"], "no column sex"),
        (["participant_id age sex", "sub-01 40 M", "sub-01 41 M"], "differ"),
        (["participant_id age Age sex", "sub-01 40 41 M"], "different ages"),
    ],
)
def test_what_is_missing_is_said_and_not_guessed(make_dataset, rows, words):
    row = first(make_dataset({"participants.tsv": table(*rows)}))
    assert words in row.problem
    assert pd.isna(row.age) or pd.isna(row.sex)


def test_no_participants_table(make_dataset):
    assert "there is no participants.tsv" in first(make_dataset({})).problem


def test_an_empty_table_is_not_an_absent_one(make_dataset):
    assert (
        "participants.tsv has no rows"
        in first(make_dataset({"participants.tsv": "participant_id\tage\tsex\n"})).problem
    )


def test_repeated_equal_rows_are_one(make_dataset):
    root = make_dataset({"participants.tsv": table("participant_id age sex", "sub-01 40 M", "sub-01 40 M")})
    assert first(root).age == 40


VISITS = (Scan("01", "1"), Scan("01", "2"))
PEOPLE = table("participant_id age sex group", "sub-01 50 F ms")


def test_age_of_the_session_wins(make_dataset):
    root = make_dataset(
        {
            "participants.tsv": PEOPLE,
            "sub-01/sub-01_sessions.tsv": table("session_id age edss", "ses-1 50.5 2", "ses-2 52 3"),
        }
    )
    found = read(root, VISITS)
    assert found["age"].tolist() == [50.5, 52]
    assert found["sex"].tolist() == ["female", "female"]
    assert found["edss"].tolist() == [2, 3]
    assert found["session_id"].tolist() == ["ses-1", "ses-2"]
    assert found["age_source"].iloc[0] == "sub-01_sessions.tsv:age"


def test_one_age_is_advanced_by_acquisition_times(make_dataset):
    times = table("session_id acq_time", "ses-1 2010-01-01T00:00:00", "ses-2 2012-01-01T00:00:00")
    found = read(make_dataset({"participants.tsv": PEOPLE, "sub-01/sub-01_sessions.tsv": times}), VISITS)
    assert found["age"].tolist() == [50, pytest.approx(50 + 730 / 365.25)]
    assert "plus 2.00 years by the dates" in found["note"].iloc[1]
    assert found["age_source"].iloc[1] == "participants.tsv:age + dates"


def test_acquisition_times_of_scans_tables(make_dataset):
    files = {
        f"sub-01/ses-{n}/sub-01_ses-{n}_scans.tsv": table(
            "filename acq_time", f"anat/sub-01_ses-{n}_T1w.nii.gz {year}-06-01T10:00:00"
        )
        for n, year in ((1, 2010), (2, 2011))
    }
    found = read(make_dataset({"participants.tsv": PEOPLE, **files}), VISITS)
    assert found["age"].iloc[1] == pytest.approx(51, abs=0.01)


def test_scrambled_acquisition_times_are_not_used(make_dataset):
    times = table("session_id acq_time", "ses-1 1877-01-01T00:00:00", "ses-2 1954-01-01T00:00:00")
    root = make_dataset({"participants.tsv": PEOPLE, "sub-01/sub-01_sessions.tsv": times})
    found = read(root, VISITS)
    assert found["age"].iloc[0] == 50
    assert pd.isna(found["age"].iloc[1])
    same = read(root, VISITS, one_age=True)
    assert same["age"].tolist() == [50, 50]
    assert same["note"].str.contains("one age for 2 sessions").all()


TWO_FOLDERS = {"participants.tsv": PEOPLE, "sub-01/ses-1/anat/x": "", "sub-01/ses-2/anat/x": ""}


def test_a_later_visit_without_age_or_date_is_left_out_even_when_it_alone_is_asked_for(make_dataset):
    root = make_dataset(TWO_FOLDERS)
    row = first(root, (Scan("01", "2"),))
    assert pd.isna(row.age)
    assert row.problem.startswith("no age: the age at ses-2 is not known: participants.tsv:age gives one age (50)")
    assert "one age for 2 sessions" in first(root, (Scan("01", "2"),), one_age=True).note


def findings(root, scans=VISITS, **options):
    found, _ = scan_covariates(root, list(scans), **options)
    return [[finding.kind for finding in item.findings] for item in found]


def test_a_visit_of_unknown_age_is_a_finding(make_dataset):
    root = make_dataset(TWO_FOLDERS)
    assert findings(root) == [[], ["age-of-visit-unknown"]]
    assert findings(root, one_age=True) == [[], ["age-one-for-all"]]


@pytest.mark.parametrize(
    "files",
    [
        {"sub-01/ses-2/sub-01_ses-2_scans.tsv": table("filename age", "anat/sub-01_ses-2_T1w.nii.gz 53")},
        {"phenotype/mri.tsv": "participant_id\tsession_id\tAge at MRI\nsub-01\tses-2\t53\n"},
        {"participants.tsv": table("participant_id age age_ses-2 sex", "sub-01 50 53 F")},
        {"participants.tsv": table("participant_id age age_visit_02 sex", "sub-01 50 53 F")},
        {"phenotype/visits.tsv": table("participant_id age_1 age_2", "sub-01 50 53")},
        {"participants.tsv": table("participant_id session_id age sex", "sub-01 ses-1 50 F", "sub-01 ses-2 53 F")},
        {"participants.tsv": table("participant_id session age sex", "sub-01 1 50 F", "sub-01 2 53 F")},
        {"participants.tsv": table("Patient visit age sex", "sub-01 ses-1 50 F", "sub-01 ses-2 53 F")},
        {
            "participants.tsv": table("participant_id date_of_birth age sex", "sub-01 1960-01-01 50 F"),
            "sub-01/sub-01_sessions.tsv": table("session_id acq_time", "ses-1 2010-01-01", "ses-2 2012-12-31"),
        },
        {"sub-01/sub-01_sessions.tsv": table("session_id mri_date", "ses-1 2010-01-01", "ses-2 2012-12-31")},
        {
            "phenotype/mri.tsv": "participant_id\tsession_id\tMRI date\nsub-01\tses-1\t01.01.2010\n"
            "sub-01\tses-2\t31.12.2012\n"
        },
        {
            "sub-01/sub-01_sessions.tsv": table(
                "session_id age acq_time", "ses-1 50 2010-01-01", "ses-2 n/a 2012-12-31"
            ),
            "participants.tsv": table("participant_id sex", "sub-01 F"),
        },
    ],
)
def test_the_age_at_a_later_visit_is_found_wherever_it_is(make_dataset, files):
    row = read(make_dataset({**TWO_FOLDERS, **files}), VISITS).iloc[1]
    assert row.age == pytest.approx(53, abs=0.01)
    assert pd.isna(row.problem)


def test_one_age_copied_to_all_visits_contradicts_their_dates(make_dataset):
    rows = table("session_id age acq_time", "ses-1 50 2010-01-01", "ses-2 50 2013-01-01")
    root = make_dataset({"participants.tsv": PEOPLE, "sub-01/sub-01_sessions.tsv": rows})
    assert findings(root) == [[], ["age-contradicts-dates"]]
    fitting = table("session_id age acq_time", "ses-1 50 2010-01-01", "ses-2 52 2013-01-01")
    assert findings(make_dataset({"participants.tsv": PEOPLE, "sub-01/sub-01_sessions.tsv": fitting}, "b")) == [[], []]


def test_dates_that_run_against_the_numbers_are_not_used(make_dataset):
    times = table("session_id acq_time", "ses-1 2012-01-01", "ses-2 2010-01-01")
    root = make_dataset({"participants.tsv": PEOPLE, "sub-01/sub-01_sessions.tsv": times})
    assert findings(root) == [[], ["age-of-visit-unknown"]]


def test_the_first_visit_is_the_first_in_time(make_dataset):
    root = make_dataset(
        {
            "participants.tsv": PEOPLE,
            "sub-01/ses-pre/anat/x": "",
            "sub-01/ses-post/anat/x": "",
            "sub-01/ses-meg/meg/x": "",
        }
    )
    found = read(root, (Scan("01", "post"), Scan("01", "pre")))
    assert pd.isna(found["age"].iloc[0])
    assert found["age"].iloc[1] == 50


def test_a_session_without_images_is_no_visit(make_dataset):
    root = make_dataset({"participants.tsv": PEOPLE, "sub-01/ses-mri/anat/x": "", "sub-01/ses-eeg/eeg/x": ""})
    assert first(root, (Scan("01", "mri"),)).age == 50


def test_ambiguous_dates_are_not_used(make_dataset):
    dates = table("session_id mri_date", "ses-1 01/02/2010", "ses-2 03/04/2013")
    root = make_dataset({**TWO_FOLDERS, "sub-01/sub-01_sessions.tsv": dates})
    assert findings(root)[1] == ["age-of-visit-unknown"]


def test_session_labels_match_across_padding_when_only_one_can_be_meant(make_dataset):
    ages = table("session_id age edss", "ses-01 51 2", "ses-02 53 3")
    root = make_dataset({**TWO_FOLDERS, "sub-01/sub-01_sessions.tsv": ages})
    found = read(root, VISITS)
    assert found["age"].tolist() == [51, 53]
    assert found["edss"].tolist() == [2, 3]
    assert findings(root) == [["session-label-matched"]] * 2
    both = make_dataset({**TWO_FOLDERS, "sub-01/sub-01_sessions.tsv": ages, "sub-01/ses-02/anat/x": ""}, "both")
    assert "session-label-matched" not in findings(both, (Scan("01", "2"),))[0]


@pytest.mark.parametrize("spelt", ["1", "SUB-01", "sub_01", "Sub-1", "sub01"])
def test_ids_that_are_spelt_otherwise_get_a_hint(make_dataset, spelt):
    root = make_dataset({"participants.tsv": table("participant_id age sex", f"{spelt} 40 M")})
    assert f"it has '{spelt}'" in first(root).problem


@pytest.mark.parametrize("text", ["Age in months", "Age of the child (months) at scan"])
def test_units_in_the_words_of_a_sidecar(make_dataset, text):
    root = make_dataset(
        {
            "participants.tsv": table("participant_id age sex", "sub-01 100 M"),
            "participants.json": {"age": {"Description": text}},
        }
    )
    assert first(root).age == pytest.approx(100 / 12)
    assert findings(root, ONE) == [["age-units"]]


def test_a_column_that_cannot_be_years_is_refused_as_a_whole(make_dataset):
    rows = [f"sub-{number:02d} {60 + 40 * number} M" for number in range(1, 11)]
    root = make_dataset({"participants.tsv": table("participant_id age sex", *rows)})
    row = first(root)
    assert pd.isna(row.age)
    assert "column age holds ages up to 460, which cannot be years" in row.problem
    assert "Units" in row.problem


def test_one_impossible_age_is_one_slip(make_dataset):
    rows = [f"sub-{number:02d} {age} M" for number, age in enumerate([40, 41, 999, 999, 400, 42, 43, 44], start=1)]
    root = make_dataset({"participants.tsv": table("participant_id age sex", *rows)})
    assert first(root).age == 40
    assert "above 120" in first(root, (Scan("05"),)).problem


def test_a_few_slips_among_many_are_slips(make_dataset):
    ages = [40, 300, 400, *range(41, 50)]
    rows = [f"sub-{number:02d} {age} M" for number, age in enumerate(ages, start=1)]
    assert first(make_dataset({"participants.tsv": table("participant_id age sex", *rows)})).age == 40
    root = make_dataset({"participants.tsv": table("participant_id age sex", *rows[:10])}, "fewer")
    assert "cannot be years" in first(root).problem


def test_a_lower_limit_is_a_finding(make_dataset):
    assert findings(make_dataset({"participants.tsv": table("participant_id age sex", "sub-01 89+ M")}), ONE) == [
        ["age-limit"]
    ]


@pytest.mark.parametrize("mark", [";", ",", "  "])
def test_tables_with_other_separators_are_read_and_named(make_dataset, mark):
    text = table("participant_id age sex site", "sub-01 40 M A", "sub-02 50 F B").replace("\t", mark)
    root = make_dataset({"participants.tsv": text})
    assert (first(root).age, first(root).site) == (40, "A")
    _, remarks = scan_covariates(root, ONE)
    assert [finding.kind for finding in remarks] == ["table-format"]
    assert "where BIDS wants tabs" in remarks[0].seen


def test_spreadsheets_are_read(make_dataset, tmp_path):
    pytest.importorskip("openpyxl")
    sheet = tmp_path / "people.xlsx"
    pd.DataFrame(
        {"Patient ID": ["sub-01", "sub-01"], "session": [1, 2], "age": [50, 53.5], "sex": ["F", "F"], "site": [2, 2]}
    ).to_excel(sheet, index=False)
    found = read(make_dataset(TWO_FOLDERS), VISITS, participants_file=sheet)
    assert found["age"].tolist() == [50, 53.5]
    assert found["site"].tolist() == [2, 2]


def test_a_table_that_names_nobody_says_what_to_rename(make_dataset):
    with pytest.raises(BIDSError) as caught:
        read(make_dataset({"participants.tsv": table("code age sex", "sub-01 40 M")}))
    assert "is it code?" in caught.value.remedy


def test_rows_that_differ_name_the_column_that_may_be_the_session(make_dataset):
    rows = table("participant_id session age sex", "sub-01 1 40 M", "sub-01 1 41 M")
    assert "is session the session? then call it session_id" in first(make_dataset({"participants.tsv": rows})).problem


def test_other_columns_of_a_scan_are_its_own_text(make_dataset):
    root = make_dataset({"participants.tsv": table("participant_id age sex coil", "sub-01 40 M 2", "sub-02 40 M 2.5")})
    alone, _ = scan_covariates(root, ONE)
    together, _ = scan_covariates(root, [Scan("01"), Scan("02")])
    assert alone[0] == together[0]
    assert alone[0].others == {"coil": "2"}


def test_participants_file_with_sessions(make_dataset, tmp_path):
    root = make_dataset(
        {"participants.tsv": PEOPLE, "sub-01/sub-01_sessions.tsv": table("session_id age", "ses-1 10", "ses-2 11")}
    )
    given = tmp_path / "mine.csv"
    given.write_text("participant_id,session_id,age,sex\n01,1,61.2,M\n01,2,62.2,M\n")
    found = read(root, VISITS, participants_file=given)
    assert found["age"].tolist() == [61.2, 62.2]
    assert found["sex"].tolist() == ["male", "male"]
    assert found["age_source"].iloc[0] == "mine.csv:age"


def test_sessions_table_wins_over_session_rows_of_the_people_table(make_dataset):
    rows = table("participant_id session_id age sex", "sub-01 ses-1 50 F", "sub-01 ses-2 51 F")
    root = make_dataset({"participants.tsv": rows, "sub-01/sub-01_sessions.tsv": table("session_id age", "ses-1 50.7")})
    assert read(root, VISITS)["age"].tolist() == [50.7, 51]


def test_contradicting_sexes_are_refused(make_dataset):
    rows = table("participant_id session_id age sex", "sub-01 ses-1 50 F", "sub-01 ses-2 51 M")
    found = read(make_dataset({"participants.tsv": rows}), VISITS)
    assert found["problem"].str.contains("more than one sex").all()


def test_a_column_named_like_ours_is_kept_under_another_name(make_dataset):
    row = first(make_dataset({"participants.tsv": table("participant_id age sex note", "sub-01 40 M left")}))
    assert row.note_in_table == "left"
    assert pd.isna(row.note)


def test_table_without_people_column_says_which_file(make_dataset):
    with pytest.raises(BIDSError, match=r"participants\.tsv has no column participant_id"):
        read(make_dataset({"participants.tsv": table("name age sex", "sub-01 40 M")}))


def test_ragged_table_says_which_line(make_dataset):
    with pytest.raises(BIDSError, match="line 2"):
        read(make_dataset({"participants.tsv": "participant_id\tage\tsex\nsub-01\t4\tM\tx\n"}))


def test_real_longitudinal_table(shared):
    scans = [Scan("L01", "01"), Scan("L01", "03"), Scan("L02", "02")]
    table_file = shared / "data/formats/longitudinal/participants_long.tsv"
    found = read_covariates(shared / "data/formats/longitudinal", scans, participants_file=table_file)
    assert found["age"].tolist() == [61.2, 63.3, 71.9]
    assert found["sex"].tolist() == ["female", "female", "male"]


@pytest.mark.parametrize(
    ("name", "n_complete"),
    [
        ("7t_trt", 22),
        ("ds000117", 16),
        ("ds000248", 0),
        ("ds003", 13),
        ("ds009", 24),
        ("ds051", 0),
        ("ds114", 0),
        ("genetics_ukbb", 14),
        ("mri_chunk", 0),
        ("pet002", 2),
        ("pheno004", 3),
        ("synthetic", 5),
    ],
)
def test_real_datasets(shared, name, n_complete):
    root = shared / "data/bids_examples" / name
    found = read_covariates(root, find_scans(root))
    complete = found["age"].notna() & found["sex"].notna()
    assert complete.sum() == n_complete
    assert (found["problem"].isna() == complete).all()
    with_one_age = read_covariates(root, find_scans(root), one_age=True)
    expected = {"pet002": 4, "synthetic": 10}.get(name, n_complete)
    assert (with_one_age["age"].notna() & with_one_age["sex"].notna()).sum() == expected
