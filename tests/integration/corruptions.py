"""Two hundred ways to spoil the files of a run, the same at every call."""

from __future__ import annotations

import gzip
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BOLD, MASK = "_desc-preproc_bold.nii.gz", "_desc-brain_mask.nii.gz"
BOLD_JSON, MASK_JSON = "_desc-preproc_bold.json", "_desc-brain_mask.json"
TABLE, TABLE_JSON = "_desc-confounds_timeseries.tsv", "_desc-confounds_timeseries.json"

Spoil = Callable[[bytes], bytes | None]


@dataclass(frozen=True)
class Corruption:
    """One file, and what becomes of its content; None: the file itself becomes something else."""

    name: str
    ending: str
    spoil: Spoil
    place: Callable[[Path], None] | None = None

    def apply(self, folder: Path) -> Path:
        path = next(folder.glob(f"*{self.ending}"))
        if self.place is not None:
            path.unlink()
            self.place(path)
        else:
            path.write_bytes(self.spoil(path.read_bytes()))
        return path


def flipped(seed: int, count: int, first: int = 0) -> Spoil:
    """Change some bits, always the same ones."""

    def spoil(content: bytes) -> bytes:
        changed, chance = bytearray(content), random.Random(seed)
        for _ in range(count):
            changed[chance.randrange(min(first, len(changed) - 1), len(changed))] ^= 1 << chance.randrange(8)
        return bytes(changed)

    return spoil


def inside(spoil: Spoil) -> Spoil:
    """Spoil what is compressed, and compress it again as it should be."""
    return lambda content: gzip.compress(spoil(gzip.decompress(content)), 1, mtime=0)


def plain_field(offset: int, kind: str, value: float) -> Spoil:
    """Give a field of the header of an uncompressed NIfTI file another value."""

    def spoil(content: bytes) -> bytes:
        changed = bytearray(content)
        struct.pack_into("<" + kind, changed, offset, value)
        return bytes(changed)

    return spoil


def field(offset: int, kind: str, value: float) -> Spoil:
    """Give a field of a NIfTI header another value."""
    return inside(plain_field(offset, kind, value))


NAN, INF = float("nan"), float("inf")

# (name, offset, kind, values): https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields
HEADER: tuple[tuple[str, int, str, tuple[float, ...]], ...] = (
    ("sizeof_hdr", 0, "i", (0, 540, -1)),
    ("dims", 40, "h", (0, 3, 8, -1)),
    ("dim1", 42, "h", (0, -5, 1, 32767)),
    ("dim4", 48, "h", (0, 1, -1, 60, 32767)),
    ("dim5", 50, "h", (0, 2)),
    ("datatype", 70, "h", (0, 1, 32, 128, 999)),
    ("bitpix", 72, "h", (0, 999)),
    ("qfac", 76, "f", (0, NAN)),
    ("pixdim1", 80, "f", (0, -2, NAN, INF)),
    ("pixdim4", 92, "f", (0, NAN, 2000, -2)),
    ("vox_offset", 108, "f", (0, 1e9, -352, NAN, 351.5, INF)),
    ("scl_slope", 112, "f", (0, NAN, INF, 1e38)),
    ("scl_inter", 116, "f", (NAN, INF, 1e38)),
    ("xyzt_units", 123, "B", (0, 255)),
    ("qform_code", 252, "h", (0, -1, 99)),
    ("sform_code", 254, "h", (0, 99)),
    ("quatern_b", 256, "f", (5, NAN)),
    ("srow_x", 280, "f", (0, NAN, 1e30)),
    ("magic", 344, "i", (0, 0x0031696E)),
    ("extension", 348, "B", (1, 255)),
)


def compressed() -> list[tuple[str, Spoil]]:
    """What may happen to a compressed file."""
    plain: list[tuple[str, Spoil]] = [
        ("empty", lambda c: b""),
        ("one byte", lambda c: c[:1]),
        ("cut after its header", lambda c: c[:12]),
        ("cut in half", lambda c: c[: len(c) // 2]),
        ("without its checksum", lambda c: c[:-8]),
        ("without its last byte", lambda c: c[:-1]),
        ("wrong checksum", lambda c: c[:-8] + bytes([c[-8] ^ 1]) + c[-7:]),
        ("wrong length", lambda c: c[:-1] + bytes([c[-1] ^ 1])),
        ("wrong magic", lambda c: b"\x1f\x8c" + c[2:]),
        ("wrong method", lambda c: c[:2] + b"\x07" + c[3:]),
        ("wrong flags", lambda c: c[:3] + b"\xff" + c[4:]),
        ("rubbish behind", lambda c: c + b"rubbish" * 9),
        ("not compressed", gzip.decompress),
        ("compressed twice", lambda c: gzip.compress(c, mtime=0)),
        ("a web page", lambda c: b"<!DOCTYPE html><title>404</title>"),
        ("nothing but zeros", lambda c: bytes(len(c))),
        ("header alone", inside(lambda c: c[:352])),
        ("half the voxels", inside(lambda c: c[: len(c) // 2])),
        ("one value short", inside(lambda c: c[:-1])),
        ("all voxels zero", inside(lambda c: c[:352] + bytes(len(c) - 352))),
        ("all bits set", inside(lambda c: c[:352] + b"\xff" * (len(c) - 352))),
    ]
    return plain + [(f"bits flipped {seed}", flipped(seed, 3, 20)) for seed in range(6)]


def sidecar(**changes: object) -> Spoil:
    return lambda content: json.dumps({**json.loads(content), **changes}).encode()


def raw(text: str) -> Spoil:
    """Put a repetition time into a sidecar as text that ``json`` might not write."""
    return lambda content: b'{"RepetitionTime": ' + text.encode() + b"}"


TEXTS: list[tuple[str, Spoil]] = [
    ("empty", lambda c: b""),
    ("cut in half", lambda c: c[: len(c) // 2]),
    ("null", lambda c: b"null"),
    ("a list", lambda c: b"[1, 2]"),
    ("a string", lambda c: b'"x"'),
    ("no object's end", lambda c: c.rstrip()[:-1]),
    ("invalid UTF-8", lambda c: c[:2] + b"\xff\xfe\xfa" + c[2:]),
    ("UTF-16", lambda c: c.decode().encode("utf-16")),
    ("byte order mark", lambda c: b"\xef\xbb\xbf" + c),
    ("NUL bytes", lambda c: c[:4] + bytes(4) + c[4:]),
    ("nested too deeply", lambda c: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ("other keys", lambda c: b'{"": {}, "\\u0000": 1}'),
]
TIMES = ("NaN", "Infinity", "-1", "0", '"2.0"', "[2.0]", "{}", "true", "null", "1e400", "1e-300", "3.0", "9" * 5000)
PARTS = (5, "x", [], None, {"Method": 5}, {"Method": "aCompCor", "Mask": 7, "Retained": "maybe"})


def lines(change: Callable[[list[str]], list[str]]) -> Spoil:
    return lambda content: ("\n".join(change(content.decode().rstrip("\n").split("\n"))) + "\n").encode()


def cell(row: int, column: str, value: str) -> Spoil:
    """Write into one cell of a table; row 0 is its header."""

    def change(table: list[str]) -> list[str]:
        place = table[0].split("\t").index(column)
        fields = table[row].split("\t")
        fields[place] = value
        return [*table[:row], "\t".join(fields), *table[row + 1 :]]

    return lines(change)


def column(name: str, value: str) -> Spoil:
    """Write into all cells of a column."""

    def change(table: list[str]) -> list[str]:
        place = table[0].split("\t").index(name)
        rows = [row.split("\t") for row in table[1:]]
        return [table[0], *("\t".join([*row[:place], value, *row[place + 1 :]]) for row in rows)]

    return lines(change)


TABLES: list[tuple[str, Spoil]] = [
    ("empty", lambda c: b""),
    ("only newlines", lambda c: b"\n\n\n"),
    ("header alone", lines(lambda t: t[:1])),
    ("one row", lines(lambda t: t[:2])),
    ("one row less", lines(lambda t: t[:-1])),
    ("one row more", lines(lambda t: [*t, t[-1]])),
    ("no header", lines(lambda t: t[1:])),
    ("header twice", lines(lambda t: [t[0], *t])),
    ("one row too long", lines(lambda t: [*t[:9], t[9] + "\t7\t8", *t[10:]])),
    ("one row too short", lines(lambda t: [*t[:9], t[9].rsplit("\t", 3)[0], *t[10:]])),
    ("all rows too long", lines(lambda t: [t[0], *(row + "\t1" for row in t[1:])])),
    ("cut in half", lambda c: c[: len(c) // 2]),
    ("commas", lambda c: c.replace(b"\t", b",")),
    ("decimal commas", lambda c: c.replace(b".", b",")),
    ("blanks", lambda c: c.replace(b"\t", b" ")),
    ("invalid UTF-8", lambda c: c[:3] + b"\xff\xfe" + c[3:]),
    ("UTF-16", lambda c: c.decode().encode("utf-16")),
    ("byte order mark", lambda c: b"\xef\xbb\xbf" + c),
    ("NUL bytes", lambda c: c[:5000] + bytes(5) + c[5000:]),
    ("Windows' line ends", lambda c: c.replace(b"\n", b"\r\n")),
    ("an open quote", cell(5, "trans_x", '"')),
    ("blank lines", lambda c: c.replace(b"\n", b"\n\n")),
    ("a column twice", cell(0, "trans_y", "trans_x")),
    ("a column without a name", cell(0, "trans_x", "")),
    ("a column renamed", cell(0, "rot_x", "rotation")),
    ("no displacement", cell(0, "framewise_displacement", "fd")),
    ("no displacement nor DVARS", lambda c: c.replace(b"framewise_displacement", b"a").replace(b"std_dvars", b"b")),
    ("text in a cell", cell(9, "trans_x", "moved")),
    ("a missing value", cell(9, "trans_x", "n/a")),
    ("an empty cell", cell(9, "trans_x", "")),
    ("infinity", cell(9, "trans_x", "inf")),
    ("beyond all numbers", cell(9, "trans_x", "1e999")),
    ("a complex number", cell(9, "trans_x", "1+2j")),
    ("a hexadecimal number", cell(9, "trans_x", "0x1F")),
    ("truth", column("trans_x", "True")),
    ("a formula", cell(9, "trans_x", "=1+1")),
    ("a column of n/a", column("trans_x", "n/a")),
    ("a constant column", column("trans_x", "1")),
    ("huge values", column("trans_x", "1e308")),
    ("displacement n/a", column("framewise_displacement", "n/a")),
    ("displacement negative", column("framewise_displacement", "-1")),
    ("displacement text", column("framewise_displacement", "low")),
    ("displacement infinite", cell(9, "framewise_displacement", "inf")),
    ("displacement always high", column("framewise_displacement", "99")),
    ("DVARS text", column("std_dvars", "x")),
    ("too many columns", lines(lambda t: [row + "\t1" * 20_000 for row in t[:20]])),
    *((f"bits flipped {seed}", flipped(seed, 20)) for seed in range(12)),
]


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def _round(path: Path) -> None:
    path.symlink_to(path)


PLACES: tuple[tuple[str, Callable[[Path], None]], ...] = (
    ("missing", lambda _path: None),
    ("a folder", Path.mkdir),
    ("a link to nowhere", _dangling),
    ("a link to itself", _round),
)


def all_corruptions() -> list[Corruption]:
    """Every way, in a fixed order."""
    fields = [
        (f"{name} {value}", field(offset, kind, value)) for name, offset, kind, values in HEADER for value in values
    ]
    texts = [(f"sidecar: {name}", spoil) for name, spoil in TEXTS]
    times = [(f"RepetitionTime {text[:9]}", raw(text)) for text in TIMES]
    parts = [(f"component {part}", sidecar(c_comp_cor_00=part)) for part in PARTS]
    found = [
        *(Corruption(name, BOLD, spoil) for name, spoil in [*compressed(), *fields]),
        *(Corruption(name, MASK, spoil) for name, spoil in compressed()[::2]),
        *(Corruption(name, MASK, spoil) for name, spoil in fields[::4]),
        *(Corruption(name, BOLD_JSON, spoil) for name, spoil in [*texts, *times]),
        *(Corruption(name, TABLE_JSON, spoil) for name, spoil in [*texts, *parts]),
        *(Corruption(name, MASK_JSON, spoil) for name, spoil in texts[::4]),
        *(Corruption(name, TABLE, spoil) for name, spoil in TABLES),
    ]
    for ending in (BOLD, MASK, BOLD_JSON, TABLE, TABLE_JSON):
        found += [Corruption(name, ending, bytes, place) for name, place in PLACES]
    return found
