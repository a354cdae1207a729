"""Ways to spoil files of a whole data set: tables, settings, models, atlases, greyordinates; the same at every call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import tomli_w

from .corruptions import HEADER, PLACES, TEXTS, Corruption, compressed, field, flipped, lines, plain_field

if TYPE_CHECKING:
    from collections.abc import Callable

    from .corruptions import Spoil

OTHER = "another: "
"""What the name of a way begins with that may leave another valid file, whose results are others."""


def ways(ending: str, named: dict[str, Spoil]) -> list[Corruption]:
    """Spoil a file in each of these ways, and in those that any path may be spoilt."""
    found = [Corruption(name, ending, spoil) for name, spoil in named.items()]
    return found + [Corruption(name, ending, bytes, place) for name, place in PLACES]


def in_line(row: int, change: Callable[[str], str]) -> Spoil:
    return lines(lambda table: [*table[:row], change(table[row]), *table[row + 1 :]])


def replaced(line: str, place: int, text: str) -> str:
    cells = line.split("\t")
    cells[place] = text
    return "\t".join(cells)


def put(row: int, place: int, text: str) -> Spoil:
    """Write into one cell by its place."""
    return in_line(row, lambda line: replaced(line, place, text))


def put_all(place: int, text: str) -> Spoil:
    return lines(lambda table: [table[0], *(replaced(row, place, text) for row in table[1:])])


def doubled(place: int) -> Spoil:
    """Repeat a column."""
    return lines(lambda table: [f"{row}\t{row.split(chr(9))[place]}" for row in table])


# of any table, whatever stands in it
TABLES: dict[str, Spoil] = {
    "empty": lambda c: b"",
    "only newlines": lambda c: b"\n\n\n",
    f"{OTHER}header alone": lines(lambda t: t[:1]),
    f"{OTHER}no header": lines(lambda t: t[1:]),
    f"{OTHER}header twice": lines(lambda t: [t[0], *t]),
    "one row too long": in_line(2, lambda row: row + "\t7\t8"),
    "all rows too long": lines(lambda t: [t[0], *(row + "\t1" for row in t[1:])]),
    "one row too short": in_line(2, lambda row: row.rsplit("\t", 1)[0]),
    "cut within a row": lambda c: c[: c.rstrip().rindex(b"\n") + 3],
    "commas": lambda c: c.replace(b"\t", b","),
    "blanks": lambda c: c.replace(b"\t", b" "),
    "invalid UTF-8": lambda c: c[:3] + b"\xff\xfe" + c[3:],
    "invalid UTF-8 at the end": lambda c: c[:-2] + b"\xff\xfe" + c[-2:],
    "UTF-16": lambda c: c.decode().encode("utf-16"),
    "byte order mark": lambda c: b"\xef\xbb\xbf" + c,
    "NUL bytes": lambda c: c[: len(c) // 2] + bytes(5) + c[len(c) // 2 :],
    "nothing but zeros": lambda c: bytes(len(c)),
    "Windows' line ends": lambda c: c.replace(b"\n", b"\r\n"),
    "old Macs' line ends": lambda c: c.replace(b"\n", b"\r"),
    "no end of the last line": lambda c: c.rstrip(b"\n"),
    "blank lines": lambda c: c.replace(b"\n", b"\n\n"),
    "a header in capitals": in_line(0, str.upper),
    "a row twice": lines(lambda t: [*t, t[-1]]),
    "a web page": lambda c: b"<!DOCTYPE html><title>404</title>",
    "too many columns": lines(lambda t: [row + "\t1" * 120_000 for row in t]),
}


def table_ways(ending: str, key: int | None, value: int) -> list[Corruption]:
    """What may happen to a table whose numbers stand in one column and whose rows are named by another, if they are."""
    cells = {
        "an open quote": put(2, key or 0, '"x'),
        "an open quote in the header": put(0, value, '"x'),
        "a column twice": doubled(value),
        f"{OTHER}a column without a name": put(0, value, ""),
        f"{OTHER}text for a number": put(2, value, "moved"),
        f"{OTHER}infinity": put(2, value, "inf"),
        f"{OTHER}beyond all numbers": put(2, value, "1e999"),
        f"{OTHER}a complex number": put(2, value, "1+2j"),
        f"{OTHER}a formula": put(2, value, "=1+1"),
        f"{OTHER}the value n/a everywhere": put_all(value, "n/a"),
        f"{OTHER}the value the same everywhere": put_all(value, "1"),
        **{f"{OTHER}bits flipped {seed}": flipped(seed, 5) for seed in range(6)},
    }
    return ways(ending, {**TABLES, **cells, **(_cells(value) if key is None else _keys(key))})


def _keys(key: int) -> dict[str, Spoil]:
    """What may happen to the column that names rows."""
    return {
        "the key's column twice": doubled(key),
        "a key without a name": put(0, key, ""),
        "another key": put(0, key, "who"),
        "no key in a row": put(2, key, "n/a"),
        "an empty key": put(2, key, ""),
        f"{OTHER}a path as a key": put(2, key, "../../x"),
        f"{OTHER}a key that is unknown": put(2, key, "sub-unknown"),
    }


def _cells(value: int) -> dict[str, Spoil]:
    """What may happen to a table of numbers alone; a value that is missing is nothing wrong with it."""
    return {
        "another name": put(0, value, "who"),
        f"{OTHER}no value in a row": put(2, value, "n/a"),
        f"{OTHER}an empty value": put(2, value, ""),
        f"{OTHER}a path as a value": put(2, value, "../../x"),
        f"{OTHER}a number below zero": put(2, value, "-7"),
        f"{OTHER}a row more": lines(lambda t: [*t, t[-1]]),
        f"{OTHER}a row less": lines(lambda t: t[:-1]),
    }


def json_ways(ending: str) -> list[Corruption]:
    """What may happen to any JSON file."""
    return ways(ending, dict(TEXTS) | {f"{OTHER}bits flipped {seed}": flipped(seed, 5) for seed in range(4)})


ODD = (None, 5, -1, 1e308, True, "", "x", "../../x", [], {}, [[]], ["x", 5])


def leaves(document: object, path: tuple = ()):
    """Every place in a document, its containers among them."""
    yield path
    items: object = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        yield from leaves(value, (*path, key))


def with_odd(document, path: tuple, odd: object):
    """Copy a document with something odd in one place."""
    if not path:
        return odd
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = with_odd(copy[path[0]], path[1:], odd)
    return copy


def odd_ways(ending: str, document: object, write: Callable[[object], bytes], each: int) -> list[Corruption]:
    """Something odd in one place after the other; every n-th of all pairs is tried."""
    pairs = [(path, odd) for path in leaves(document) if path for odd in ODD][::each]
    return [
        Corruption(
            f"{OTHER}{'.'.join(map(str, path))} is {odd!r}",
            ending,
            lambda _content, path=path, odd=odd: write(with_odd(document, path, odd)),
        )
        for path, odd in pairs
    ]


def as_json(document: object) -> bytes:
    return json.dumps(document).encode()


def as_toml(document: object) -> bytes:
    # TOML has no null
    return tomli_w.dumps(json.loads(json.dumps(document).replace("null", '"null"'))).encode()


def toml_ways(ending: str, document: object, each: int) -> list[Corruption]:
    """What may happen to a file of settings."""
    texts: dict[str, Spoil] = {
        f"{OTHER}empty": lambda c: b"",
        f"{OTHER}cut in half": lambda c: c[: len(c) // 2],
        "invalid UTF-8": lambda c: c[:3] + b"\xff\xfe" + c[3:],
        "UTF-16": lambda c: c.decode().encode("utf-16"),
        "byte order mark": lambda c: b"\xef\xbb\xbf" + c,
        "NUL bytes": lambda c: c[:4] + bytes(4) + c[4:],
        "twice": lambda c: c + c,
        "JSON": lambda c: b'{"science": {}}',
        "a web page": lambda c: b"<!DOCTYPE html><title>404</title>",
        "Windows' line ends": lambda c: c.replace(b"\n", b"\r\n"),
        **{f"{OTHER}bits flipped {seed}": flipped(seed, 3) for seed in range(8)},
    }
    return ways(ending, texts) + odd_ways(ending, document, as_toml, each)


def image_ways(ending: str) -> list[Corruption]:
    """What may happen to a compressed image."""
    fields = {
        f"{name} {value}": field(offset, kind, value) for name, offset, kind, values in HEADER for value in values
    }
    return ways(ending, {**dict(compressed()), **fields})


# (name, offset, kind, values) of NIfTI-2: https://nifti.nimh.nih.gov/pub/dist/doc/nifti2.h
HEADER_2: tuple[tuple[str, int, str, tuple[float, ...]], ...] = (
    ("sizeof_hdr", 0, "i", (0, 348, -1)),
    ("magic", 4, "i", (0,)),
    ("datatype", 12, "h", (0, 1, 32, 999)),
    ("dims", 16, "q", (0, 4, 8, -1)),
    ("dim5", 56, "q", (0, 1, -1, 10**12)),
    ("dim6", 64, "q", (0, 1, -1, 10**12)),
    ("vox_offset", 168, "q", (0, 1, -1, 10**12)),
    ("scl_slope", 176, "d", (0, float("nan"), float("inf"))),
    ("intent", 504, "i", (0, -1)),
    ("extension", 540, "i", (0, 255)),
    ("its size", 544, "i", (0, -1, 17, 10**9)),
    ("its code", 548, "i", (0, 4)),
)
# what stands in the XML, and what is written over it
XML = (
    (b"CIFTI_INDEX_TYPE_BRAIN_MODELS", b"CIFTI_INDEX_TYPE_BRAIN_MODULE"),
    (b"CIFTI_INDEX_TYPE_", b"CIFTI_INDEX_SORT_"),
    (b"CIFTI_STRUCTURE_CORTEX_LEFT", b"CIFTI_STRUCTURE_CORTEX_FAR_"),
    (b'IndexCount="3', b'IndexCount="9'),
    (b'IndexOffset="0', b'IndexOffset="9'),
    (b'SeriesStep="2', b'SeriesStep="x'),
    (b'SeriesUnit="SECOND', b'SeriesUnit="MINUTE'),
    (b'NumberOfSeriesPoints="1', b'NumberOfSeriesPoints="7'),
    (b'Version="2"', b'Version="1"'),
    (b'AppliesToMatrixDimension="0', b'AppliesToMatrixDimension="1'),
    (b'Key="1"', b'Key="2"'),
    (b'Key="1"', b'Key="x"'),
    (b"</CIFTI>", b"<CIFTI/>"),
    (b"<CIFTI", b"<CIFTY"),
    (b"<Matrix>", b"<Mtrix/>"),
    (b"<VertexIndices>0", b"<VertexIndices>x"),
    (b"<VertexIndices>0", b"<VertexIndices>9"),
)


def cifti_ways(ending: str) -> list[Corruption]:
    """What may happen to greyordinates: their header, their XML and their numbers."""
    fields = {
        f"{name} {value}": plain_field(offset, kind, value)
        for name, offset, kind, values in HEADER_2
        for value in values
    }
    words: dict[str, Spoil] = {
        f"{new.decode()} for {old.decode()}": lambda c, old=old, new=new: c.replace(old, new, 1) for old, new in XML
    }
    cut: dict[str, Spoil] = {
        "empty": lambda c: b"",
        "one byte": lambda c: c[:1],
        "cut in its header": lambda c: c[:300],
        "cut in its XML": lambda c: c[:1000],
        "cut in half": lambda c: c[: len(c) // 2],
        "one value short": lambda c: c[:-4],
        "a web page": lambda c: b"<!DOCTYPE html><title>404</title>",
        "nothing but zeros": lambda c: bytes(len(c)),
        "rubbish behind": lambda c: c + b"rubbish" * 9,
        f"{OTHER}no numbers at its end": lambda c: c[:-64] + b"\xff" * 64,
        **{
            f"{OTHER}bits flipped in its XML {seed}": lambda c, seed=seed: (
                c[:560] + flipped(seed, 3)(c[560:2000]) + c[2000:]
            )
            for seed in range(16)
        },
    }
    return ways(ending, {**fields, **words, **cut})
