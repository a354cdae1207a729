"""The registry, networks by a table, and the command that fetches and checks."""

import re
import subprocess
import sys
import types
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_flex.atlas_cli import main
from bids_flex.errors import DatasetFileError, MissingInputError, UsageError
from bids_flex.signal import load_atlas, registry
from bids_flex.signal.networks import apply_networks
from bids_flex.signal.registry import choose, find_entry

LABELS = ("a", "b", "c", "d")
BEFORE = ("Vis", "Vis", "Limbic", "")


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("network\tbecomes\nn/a\tDeepGrey\n", ("Vis", "Vis", "Limbic", "DeepGrey")),
        ("network\tbecomes\nLimbic\tVis\nn/a\tVis\n", ("Vis", "Vis", "Vis", "Vis")),
        ("network\tbecomes\nVis\tVisual\nn/a\tDeepGrey\n", ("Visual", "Visual", "Limbic", "DeepGrey")),
        ("label\tnetwork\nd\tDeepGrey\na\tOther\n", ("Other", "Vis", "Limbic", "DeepGrey")),
    ],
)
def test_networks_are_merged_renamed_or_assigned(tmp_path, text, after):
    (tmp_path / "n.tsv").write_text(text)
    assert apply_networks(tmp_path / "n.tsv", LABELS, BEFORE) == after


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("network\tbecomes\nVis\tVisual\n", r"leaves regions without a network \(d\)"),
        ("network\tbecomes\nCont\tX\n", "the atlas has no network Cont; it has Limbic, Vis, n/a"),
        ("label\tnetwork\nz\tX\n", "the atlas has no label z"),
        ("network\tbecomes\nVis\tX\nVis\tY\n", "column 'network' names Vis more than once"),
        ("network\tbecomes\nVis\t\n", "column 'becomes' is empty for Vis"),
        ("network\tto\nVis\tX\n", "it needs network and becomes, or label and network"),
        ("from\tto\nVis\tX\n", "has no column 'network'"),
    ],
)
def test_a_table_of_networks_that_does_not_fit_is_refused(tmp_path, text, told):
    (tmp_path / "n.tsv").write_text(text)
    with pytest.raises(DatasetFileError, match=told):
        apply_networks(tmp_path / "n.tsv", LABELS, BEFORE)


def write_atlas(folder):
    values = np.zeros((3, 3, 3), dtype=np.int16)
    values[0], values[1], values[2] = 1, 2, 3
    path = folder / "atlas-Mine_dseg.nii.gz"
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    path.with_name("atlas-Mine_dseg.tsv").write_text("index\tlabel\tnetwork_label\n1\ta\tVis\n2\tb\tVis\n3\tc\tn/a\n")
    return path


def test_regions_without_a_network_need_a_table(tmp_path):
    path = write_atlas(tmp_path)
    with pytest.raises(DatasetFileError, match="empty for c; fill it in, or assign them with --atlas-networks"):
        load_atlas(str(path))
    (tmp_path / "n.tsv").write_text("network\tbecomes\nn/a\tDeepGrey\n")
    assert load_atlas(str(path), networks=tmp_path / "n.tsv").networks == ("Vis", "Vis", "DeepGrey")


def test_the_registry_says_for_every_atlas_what_the_owner_asks():
    assert set(registry()) == {"Schaefer2018", "Dosenbach2010", "4S"}
    assert set(registry()["Schaefer2018"].scales) == {"100", "200", "300", "400", "500", "600", "800", "1000"}
    for entry in registry().values():
        assert all((entry.title, entry.licence, "doi" in entry.citation, entry.obtained, entry.spaces))


def test_names_choose_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    chosen = choose(*find_entry("Schaefer2018_seg-17_scale-400"), "MNI152NLin6Asym")
    stem = "tpl-MNI152NLin6Asym_res-02_atlas-Schaefer2018_desc-400Parcels17Networks_dseg.nii.gz"
    assert chosen.image == tmp_path / "tpl-MNI152NLin6Asym" / stem
    assert chosen.full_name == "Schaefer2018_seg-17n_scale-400"
    assert find_entry("AAL") is None
    with pytest.raises(UsageError, match="scale is 200 or 100"):
        find_entry("Schaefer2018_scale-150")
    with pytest.raises(UsageError, match="not drawn on fsLR: there is MNI152NLin2009cAsym, MNI152NLin6Asym"):
        choose(*find_entry("Schaefer2018"), "fsLR")
    with pytest.raises(MissingInputError, match="fetch Schaefer2018_seg-7n_scale-200 --atlas-space MNI152NLin6Asym"):
        load_atlas("Schaefer2018", space="MNI152NLin6Asym")
    with pytest.raises(MissingInputError, match="TemplateFlow has no 4S"):
        load_atlas("4S456Parcels")


def test_templateflow_knows_the_files_that_the_registry_names(tmp_path, monkeypatch):
    """Its client ships the list of all its files."""
    import zipfile
    from importlib.util import find_spec

    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    origin = Path(find_spec("templateflow").submodule_search_locations[0])  # found without running its code
    with zipfile.ZipFile(origin / "conf" / "templateflow-skel.zip") as skeleton:
        there = set(skeleton.namelist())
    entry = registry()["Schaefer2018"]
    for space in entry.spaces:
        for seg in entry.segs:
            for scale in entry.scales:
                chosen = choose(entry, seg, scale, space)
                assert {str(file.relative_to(tmp_path)) for file in (chosen.image, chosen.table)} <= there
    # the day on which this fails, 4S can be fetched
    assert not any("4S" in name for name in there)


class Client(types.ModuleType):
    """What stands for TemplateFlow's client: its network is up, down, cut within an image, or sends a page."""

    def __init__(self, home, network):
        super().__init__("templateflow.api")
        self.home, self.network, self.asked = home, network, []
        self.listed = not any(home.iterdir())

    def update(self, *, local, overwrite, silent):
        assert (local, overwrite) == (True, False)  # neither a network nor other files than the empty ones
        self.listed = True

    def get(self, template, *, desc, suffix, atlas, resolution, extension, raise_empty):
        self.asked.append((template, desc, extension))
        if not self.listed:
            raise ValueError("No results found")
        names = (f"tpl-{template}{res}_atlas-{atlas}_desc-{desc}_{suffix}" for res in ("_res-02", ""))
        image, table = (self.home / f"tpl-{template}" / name for name in names)
        # the real client brings the tables along
        image.parent.mkdir(exist_ok=True)
        table.with_suffix(".tsv").write_text("index\tname\n1\t7Networks_LH_Vis_1\n2\t7Networks_RH_Default_1\n")
        if self.network == "down":
            raise ConnectionError("no route to host")
        labels = np.repeat(np.array([1, 2], dtype=np.int16), 32).reshape(4, 4, 4)
        image = image.with_suffix(".nii.gz")
        nib.save(nib.Nifti1Image(labels, np.eye(4)), image)
        if self.network == "page":
            image.write_text("<html>Please log in</html>")
        if self.network == "cut":
            image.write_bytes(image.read_bytes()[:60])
            raise ConnectionError("60 bytes read, more expected")


@pytest.fixture
def client(tmp_path, monkeypatch, request):
    made = Client(tmp_path, request.param)
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "templateflow", types.ModuleType("templateflow"))
    for name in ("api", "conf"):
        monkeypatch.setitem(sys.modules, f"templateflow.{name}", made)
    return made


@pytest.mark.parametrize("client", ["up"], indirect=True)
def test_fetching_asks_the_client_only_for_what_is_missing(client, capsys):
    assert main(["fetch", "Schaefer2018_scale-100"]) == 0
    assert "10.1093/cercor/bhx179" in capsys.readouterr().out
    assert [extension for *_, extension in client.asked] == [".nii.gz", ".tsv"]
    assert main(["fetch", "Schaefer2018_scale-100"]) == 0
    assert len(client.asked) == 2
    capsys.readouterr()
    assert main(["list"]) == 0
    assert "\n    here      Schaefer2018_seg-7n_scale-100\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("client", "why"),
    [
        ("down", "ConnectionError: no route to host"),
        ("cut", "ConnectionError: 60 bytes read, more expected"),
        ("page", "DatasetFileError: .* cannot be read as an image"),
    ],
    indirect=["client"],
)
def test_what_was_not_fetched_whole_is_told_and_fetched_again(client, capsys, why):
    """The real client leaves half a file behind, and saves whatever the network sends instead of one."""
    assert main(["fetch", "Schaefer2018_scale-100"]) == 66
    told = capsys.readouterr().err
    assert re.search(f"Schaefer2018_seg-7n_scale-100 could not be fetched into .*{why}", told)
    image = "tpl-MNI152NLin2009cAsym_res-02_atlas-Schaefer2018_desc-100Parcels7Networks_dseg.nii.gz"
    assert f"\n    tpl-MNI152NLin2009cAsym/{image}" in told
    client.network = "up"
    assert main(["fetch", "Schaefer2018_scale-100"]) == 0
    assert load_atlas("Schaefer2018_scale-100").networks == ("Vis", "Default")


@pytest.mark.parametrize("client", ["up"], indirect=True)
def test_a_folder_that_others_have_filled_takes_another_atlas(client, capsys):
    """As in the image, and wherever the files of one atlas were copied by hand."""
    client.listed = False
    assert main(["fetch", "Schaefer2018_scale-100"]) == 0
    assert main(["fetch", "Schaefer2018_scale-200"]) == 0
    assert main(["list"]) == 0
    assert "Schaefer2018_seg-7n_scale-100, Schaefer2018_seg-7n_scale-200\n" in capsys.readouterr().out


@pytest.mark.parametrize("client", ["up"], indirect=True)
def test_half_a_file_that_is_here_already_is_not_taken_for_the_atlas(client, capsys):
    assert main(["fetch", "Schaefer2018_scale-100"]) == 0
    image = next(client.home.rglob("*.nii.gz"))
    image.write_bytes(image.read_bytes()[:60])
    assert main(["fetch", "Schaefer2018_scale-100"]) == 65
    told = capsys.readouterr().err
    assert f"{image} cannot be read as an image" in told
    assert "remove the file first" in told


def test_list_and_check(tmp_path, capsys):
    assert main(["list"]) == 0
    assert "Schaefer2018: " in capsys.readouterr().out
    path = write_atlas(tmp_path)
    assert main(["check", str(path)]) == 65
    assert "column 'network' is empty for c" in capsys.readouterr().err
    (tmp_path / "n.tsv").write_text("network\tbecomes\nn/a\tDeepGrey\n")
    assert main(["check", str(path), "--atlas-networks", str(tmp_path / "n.tsv")]) == 0
    out = capsys.readouterr().out
    assert "    2  Vis" in out
    assert "    1  DeepGrey" in out
    assert main(["fetch", "4S156Parcels"]) == 2
    assert main(["fetch", "AAL"]) == 66
    assert main(["fetch", "Dosenbach2010"]) == 0


def test_help_loads_nothing_heavy():
    """The interpreter's own list of modules, not a clock."""
    heavy = "{'numpy', 'nibabel', 'pandas'}"
    code = f"import sys, bids_flex.atlas_cli as a; a.make_parser(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_real_atlases_are_sound(shared, capsys):
    for name in sorted((shared / "atlas").glob("xcpengine_schaefer*.nii.gz")):
        assert main(["check", str(name)]) == 0
        count = int(name.name.split("schaefer")[1].split("x")[0])
        assert f"{count} regions" in capsys.readouterr().out


def test_affines_that_lie_nowhere_are_refused(tmp_path):
    path = write_atlas(tmp_path)
    image = nib.load(path)
    broken = nib.Nifti1Image(np.asarray(image.dataobj), None)
    broken.header.set_sform(np.diag([0.0, 1, 1, 1]), code=1)
    nib.save(broken, path)
    with pytest.raises(DatasetFileError, match="affine that cannot be inverted"):
        load_atlas(str(path))
