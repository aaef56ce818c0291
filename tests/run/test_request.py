"""A RunConfig is taken apart once."""

from dataclasses import replace

from bids_app.run.request import open_request


def test_every_part_gets_what_it_needs(config, dataset, tmp_path):
    asked = replace(
        config,
        participant_label=("01",),
        session_label=("1",),
        skip_bids_validation=True,
        recon="run",
        longitudinal=True,
        omp_nthreads=3,
        recon_args=("-noT2pial",),
        t1w_select="last",
        adapt_controls="age > 1",
        adapt_by="site",
        force=True,
        figure_formats=("png",),
    )
    request = open_request(asked, tmp_path / "work")
    assert (request.dataset.participants, request.dataset.sessions, request.dataset.validate) == (
        ("01",),
        ("1",),
        False,
    )
    assert request.places.searched == (config.output_dir / "sourcedata/freesurfer",)
    assert request.places.longitudinal
    assert request.recon.longitudinal
    assert (request.recon.threads, request.recon.extra, request.recon.t1w_select) == (3, ("-noT2pial",), "last")
    assert (request.model.controls, request.model.by, request.force) == ("age > 1", "site", True)
    assert request.figure_formats == ("png",)


def test_our_own_subjects_are_searched_last(config, dataset, tmp_path):
    given = dataset / "derivatives/freesurfer"
    assert open_request(config, tmp_path).places.searched == (given,)
    own = config.output_dir / "sourcedata/freesurfer"
    own.mkdir(parents=True)
    assert open_request(config, tmp_path).places.searched == (given, own)


def test_an_index_is_kept_only_in_a_work_folder_that_is_kept(config, tmp_path):
    assert open_request(config, tmp_path).dataset.kept_dir is None
    kept = open_request(replace(config, work_dir=tmp_path / "work"), tmp_path / "work").dataset.kept_dir
    assert kept == tmp_path / "work" / "bids-index"


def names(scans):
    return [scan.name for scan in scans]


def test_the_other_sessions_of_the_people_asked_for_are_known(config, tmp_path):
    request = open_request(replace(config, participant_label=("02",), session_label=("2",)), tmp_path)
    scans = request.dataset.scans([])
    assert names(scans) == ["sub-02_ses-1", "sub-02_ses-2"]
    assert names(request.dataset.asked(scans)) == ["sub-02_ses-2"]
    everybody = ["sub-01", "sub-02_ses-1", "sub-02_ses-2", "sub-03", "sub-04"]
    assert names(request.dataset.everybody([])) == everybody
    assert not request.dataset.everyone
