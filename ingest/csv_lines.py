"""CSV as people have it: a line of numbers is a record, separated by commas, semicolons or tabs, quoted or not.

Each line says by itself how it is to be read, so that reading may begin anywhere in a file, and a dead letter can be
read without it. Only the header stands in the first lines.
"""

from __future__ import annotations

import csv

from ingest.records import BadRecord, Record


def decode_csv(line: bytes, targets: int = 0, *, keyed: bool = False) -> Record:
    r"""Decode one line of numbers, of which so many of the last are targets; ``keyed``: the first is the key.

    Where all targets are empty they are to come later, and where all else is, it came before.

    Among semicolons a comma is a decimal point, as in much of the world.

    >>> decode_csv(b"1,2,3", targets=1)
    Record(x=[1.0, 2.0], y=[3.0], key=b'', time=nan)
    >>> decode_csv(b"1, 2.5").x, decode_csv(b'"1,5";-2').x, decode_csv(b"1e3\t.5").x
    ([1.0, 2.5], [1.5, -2.0], [1000.0, 0.5])
    >>> decode_csv(b"a7,1,2,", targets=1, keyed=True)
    Record(x=[1.0, 2.0], y=None, key=b'a7', time=nan)
    >>> decode_csv(b"a7,,,3", targets=1, keyed=True)
    Record(x=[], y=[3.0], key=b'a7', time=nan)

    Raises
    ------
    BadRecord
        Naming the first field that is not a number.
    """
    fields, plain = _fields(line)
    if keyed:
        return _keyed(fields, plain, targets)
    try:
        if b"_" not in line:  # Python's own notation for digit groups, nobody else's
            values = list(map(float, plain))
            return Record(values[:-targets], values[-targets:]) if targets else Record(values)
    except ValueError:
        pass
    raise _bad(fields, plain, 0)


def _keyed(fields: list[bytes], plain: list[bytes], targets: int) -> Record:
    end = max(1, len(plain) - targets)
    parts = [
        [] if not any(map(bytes.strip, part)) else part for part in (plain[1:end], plain[end:])
    ]
    if not all(map(_is_number, parts[0] + parts[1])):
        raise _bad(fields, plain, 1)
    x, y = (list(map(float, part)) for part in parts)
    return Record(x, y or None, fields[0].strip())


def _bad(fields: list[bytes], plain: list[bytes], first: int) -> BadRecord:
    """Return what is wrong with the first field, from this one on, that is no number."""
    columns = range(first, len(plain))
    column = next(i for i in columns if not _is_number(plain[i]))
    shown = fields[column].decode("utf-8", "replace")[:40]
    return BadRecord(f"column {column + 1}: expected a number, got {shown!r}")


def _fields(line: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the fields of a line, and the same with decimal points."""
    fields, separator = _split(line)
    plain = [field.replace(b",", b".") for field in fields] if separator == b";" else fields
    return fields, plain


def _split(line: bytes) -> tuple[list[bytes], bytes]:
    separator = b";" if b";" in line else b"," if b"," in line else b"\t"
    if b'"' not in line:
        return line.split(separator), separator
    texts = csv.reader(
        [line.decode("latin-1")], delimiter=separator.decode(), skipinitialspace=True
    )
    try:
        return [text.encode("latin-1") for text in next(texts)], separator
    except csv.Error as error:
        raise BadRecord(f"not CSV: {error}") from None


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return b"_" not in field


class Header:
    """Tells a file's header from its records, line by line from the first on.

    >>> header = Header()
    >>> [header.takes(line) for line in (b"sep=;", b'"length', b'in cm";"width"', b"1;2", b"n/a;2")]
    [True, True, True, False, False]

    Parameters
    ----------
    expected : bool, optional
        Whether there is one; else a first line of words and no number is one.
    """

    def __init__(self, expected: bool | None = None) -> None:
        self._expected = expected
        self._begun = self._over = False

    def takes(self, line: bytes) -> bool:
        """Return whether a line belongs to the header."""
        if self._over or (not self._begun and line.lower().startswith(b"sep=")):
            return not self._over
        within = self._begun  # a name in quotes goes on in the next line
        self._begun = True
        found = _is_words(line) if within or self._expected is None else self._expected
        self._over = not found or within == line.count(b'"') % 2
        return found


def _is_words(line: bytes) -> bool:
    """Return whether a line has something in it, and no number."""
    try:
        _, plain = _fields(line)
    except BadRecord:
        return False
    return any(map(bytes.strip, plain)) and not any(map(_is_number, plain))
