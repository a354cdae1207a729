"""Our own tables read back fast."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_flex.bids.summaries import find_summaries, read_labels, read_statuses
from bids_flex.errors import DatasetFileError

HEAD = ["onset", "duration", "kept_frames"]


def write_labels(folder, labels):
    header = "\t".join([*HEAD, *(f"R{i}" for i in range(len(labels[0])))])
    lines = [
        "\t".join([str(2 * w), "60", "30", *(str(v) if v else "n/a" for v in row)]) for w, row in enumerate(labels)
    ]
    (folder / "sub-01_desc-prior_communities.tsv").write_text("\n".join([header, *lines]) + "\n")
    return folder / "sub-01_desc-prior_dynamics.json"


@given(st.integers(1, 4), st.integers(1, 5), st.sampled_from([2, 9, 10, 300]), st.randoms(use_true_random=False))
def test_labels_of_any_length_are_read_as_they_were_written(tmp_path_factory, windows, regions, most, random):
    labels = [[random.randint(0, most) for _ in range(regions)] for _ in range(windows)]
    found = read_labels(write_labels(tmp_path_factory.mktemp("labels"), labels), "prior")
    assert found.labels.tolist() == labels
    assert found.onsets_s.tolist() == [2.0 * w for w in range(windows)]
    assert found.regions == tuple(f"R{i}" for i in range(regions))


@pytest.mark.parametrize("fields", ["1\tx", "1\t-", "1\t:", "1\t1 1", "1\t", "111"])
def test_what_is_no_label_is_named(tmp_path, fields):
    path = write_labels(tmp_path, [[1, 2], [1, 1]])
    file = tmp_path / "sub-01_desc-prior_communities.tsv"
    file.write_text(file.read_text().replace("30\t1\t1\n", f"30\t{fields}\n"))
    with pytest.raises(DatasetFileError, match=r"_communities\.tsv"):
        read_labels(path, "prior")


def test_the_newest_call_says_what_became_of_a_run(tmp_path):
    import os

    for age, (name, state) in enumerate([("new", "done"), ("old", "failed")]):
        folder = tmp_path / "logs" / name
        folder.mkdir(parents=True)
        (folder / "status.tsv").write_text(f'run\tstate\treason\nsub-01_task-rest\t{state}\ta "quoted" reason\n')
        os.utime(folder / "status.tsv", (1000 - age, 1000 - age))
    (told,) = read_statuses(tmp_path)
    assert (told.state, told.reason) == ("done", 'a "quoted" reason')


def test_summaries_are_found_in_sessions_and_without(tmp_path):
    names = ["sub-02/func/sub-02_desc-prior_dynamics.json", "sub-01/ses-a/func/sub-01_ses-a_desc-prior_dynamics.json"]
    others = ["sub-01/figures/sub-01_desc-prior_dynamics.json", "group/func/sub-09_desc-prior_dynamics.json"]
    for name in [*names, *others]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert find_summaries(tmp_path) == {"prior": sorted(tmp_path / name for name in names)}
    assert find_summaries(tmp_path / "nowhere") == {}
