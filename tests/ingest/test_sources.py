"""Every source passes the same conformance suite; options do what they say; errors name the part."""

from __future__ import annotations

import contextlib
import gzip
import json
import struct
import subprocess
import sys

import numpy as np
import pytest
from river import datasets

from ingest import dead_letters
from ingest.dead_letters import DeadLetter
from ingest.records import BadRecord, Raw, pieces
from ingest.sources import SourceError, open_source
from ingest.sources.array_files import ArraySource, read_arrays
from ingest.sources.base import seekable
from ingest.sources.checks import all_checks
from ingest.sources.digits import descriptors
from ingest.sources.pacing import Paced
from streammac.points.block import PointBlock

X = np.random.default_rng(0).integers(0, 255, (53, 6)).astype(np.float32)


def write_idx(path, array) -> None:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(struct.pack(">HBB", 0, 8, array.ndim))
        file.write(struct.pack(f">{array.ndim}I", *array.shape))
        file.write(array.astype(np.uint8).tobytes())


def write_vecs(path, array, dtype) -> None:
    with path.open("wb") as file:
        for row in array:
            file.write(struct.pack("<i", len(row)) + row.astype(dtype).tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("feeds")
    np.save(path / "a.npy", X)
    np.savez(path / "a.npz", X=X, y=np.arange(53), time=np.arange(53))
    write_idx(path / "images-idx3-ubyte.gz", X.reshape(53, 2, 3))
    write_idx(path / "a.idx", X.reshape(53, 2, 3))
    write_vecs(path / "a.fvecs", X, "<f4")
    write_vecs(path / "a.bvecs", X, "u1")
    lines = [",".join(map(str, row)) for row in X]
    (path / "a.csv").write_text("\n".join(["c1,c2,c3,c4,c5,c6", *lines]) + "\n")
    (path / "plain.csv").write_text("\n".join(lines))
    records = "\n".join(json.dumps({"x": row.tolist()}) for row in X)
    (path / "a.ndjson").write_text(records + "\n\n")
    with gzip.open(path / "a.ndjson.gz", "wt") as file:
        file.write(records)
    return path


FILES = [
    "a.npy", "a.npz", "images-idx3-ubyte.gz", "a.idx", "a.fvecs", "a.bvecs",
    "a.csv", "plain.csv", "a.ndjson", "a.ndjson.gz",
]  # fmt: skip
FEEDS = [*FILES, "a.npy?shuffle=3", "a.npy?limit=20", "a.csv?loop=true", "a.npy?loop=true&limit=120",
    "a.ndjson?limit=20", "a.csv?rate=1e9&limit=31"]  # fmt: skip


def numbers(chunks) -> np.ndarray:
    rows = []
    for chunk in chunks:
        if isinstance(chunk, PointBlock):
            rows.append(chunk.x)
        else:
            rows.append(np.array([chunk.decode(r).x for r in chunk.records]))
    return np.concatenate(rows)


@pytest.mark.parametrize("check", list(all_checks()), ids=lambda check: check.__name__)
@pytest.mark.parametrize("feed", [*FEEDS, "digits:", "digits:?seed=2&turned_after=7"])
def test_conformance(check, feed, folder):
    check(lambda: open_source(feed if ":" in feed else f"{folder}/{feed}"))


def test_a_stream_of_river_conforms():
    for check in all_checks():
        check(lambda: open_source("river:ImageSegments"))
    source = open_source("river:ImageSegments")
    assert source.finite
    assert sum(map(len, source.chunks(1000))) == 2310


def records_of_river(name, monkeypatch, stream=None):
    source = open_source(f"river:{name}")
    if stream is not None:
        monkeypatch.setattr(source, "_stream", stream)
    return [chunk.decode(raw) for chunk in source.chunks(7) for raw in chunk.records], source


def test_a_stream_of_river_brings_its_classes_as_they_first_appear(monkeypatch, caplog):
    caplog.set_level("INFO")
    words = [y for _, y in datasets.ImageSegments()]
    numbered = list(dict.fromkeys(words))
    records, source = records_of_river("ImageSegments", monkeypatch)
    assert [record.y for record in records] == [[numbered.index(word)] for word in words]
    assert "river:ImageSegments: class 0 is 'path'" in caplog.text
    again = [chunk.decode(raw).y for chunk in source.chunks(1000) for raw in chunk.records]
    assert again == [record.y for record in records], "in a loop, too"


@pytest.mark.parametrize(
    ("target", "numbers"),
    [
        (True, [1]),
        (np.float64(2.5), [2.5]),
        ({"b": True, "a": 3}, [3, 1]),
        (None, None),
    ],
)
def test_targets_of_river_are_numbers(target, numbers, monkeypatch):
    (record,), _ = records_of_river("Bananas", monkeypatch, [({"b": 2.0, "a": 1.0}, target)])
    assert (record.x, record.y) == ([1.0, 2.0], numbers)


def test_a_target_of_river_that_is_no_number_is_refused_with_a_reason(monkeypatch):
    with pytest.raises(BadRecord, match=r"^y"):
        records_of_river("Bananas", monkeypatch, [({"a": 1.0}, (1, 2))])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("scheme", ["", "file:"])
def test_every_file_format_yields_the_points_that_were_written(name, scheme, folder):
    source = open_source(f"{scheme}{folder}/{name}")
    np.testing.assert_array_equal(numbers(source.chunks(10)), X)


def test_an_archive_brings_targets_and_times(folder):
    arrays = read_arrays(folder / "a.npz")
    np.testing.assert_array_equal(arrays.y, np.arange(53))
    assert arrays.time.dtype == np.float64


def test_shuffling_is_a_permutation_that_depends_on_the_seed(folder):
    def read(seed):
        return numbers(open_source(f"{folder}/a.npy?shuffle={seed}").chunks(10))

    assert not np.array_equal(read(1), X)
    assert not np.array_equal(read(1), read(2))
    np.testing.assert_array_equal(read(1), read(1))
    np.testing.assert_array_equal(np.sort(read(1), axis=0), np.sort(X, axis=0))


def test_a_loop_begins_again_and_a_limit_ends_it(folder):
    source = open_source(f"{folder}/a.npy?loop=true&limit=120")
    assert source.finite
    got = numbers(source.chunks(50))
    np.testing.assert_array_equal(got, np.concatenate([X, X, X[:14]]))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds) -> None:
        self.now += seconds


def test_a_rate_is_kept_on_the_average():
    clock = Clock()
    source = ArraySource("a", PointBlock(np.zeros((1000, 2))))
    paced = Paced(source, rate=200.0, clock=clock, sleep=clock.sleep)
    times = [(clock.now - 100.0, len(chunk)) for chunk in paced.chunks(500)]
    assert clock.now - 100.0 == pytest.approx(5.0)
    sent = np.cumsum([n for _, n in times])
    assert all(abs(n - 200.0 * t) <= 40 for n, (t, _) in zip(sent, times, strict=True))


def test_after_back_pressure_the_rate_is_not_made_up_for():
    clock = Clock()
    paced = Paced(
        ArraySource("a", PointBlock(np.zeros((400, 2)))), 100.0, clock=clock, sleep=clock.sleep
    )
    chunks = paced.chunks(500)
    next(chunks)
    clock.now += 60.0
    begin = clock.now
    for _ in chunks:
        pass
    assert clock.now - begin > 3.0


def test_stdin_yields_lines_as_they_come():
    reader = (
        "import sys; from ingest.sources import open_source\n"
        "for chunk in open_source('stdin:').chunks(2):\n"
        "    print([r.decode() for r in chunk.records], flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", reader], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdin.write("[1]\n\n[2]\n[3]\n")
    process.stdin.flush()
    assert process.stdout.readline() == "['[1]', '[2]']\n"
    assert process.stdout.readline() == "['[3]']\n", "a part of a chunk does not wait for the rest"
    process.stdin.write("[4]")
    process.stdin.close()
    assert process.stdout.readline() == "['[4]']\n"
    assert process.wait() == 0


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("kafka:topic", "no source 'kafka'"),
        ("/no/such/file.npy", "no file /no/such/file.npy"),
        ("{folder}/a.npy?rat=5", "rat: no such option"),
        ("{folder}/a.npy?rate=fast", "rate: expected records per second, got 'fast'"),
        ("{folder}/a.npy?rate=0", "rate: expected"),
        ("{folder}/a.npy?limit=0", "limit: expected a whole number from 1"),
        ("{folder}/a.npy?loop=perhaps", "loop: expected true or false"),
        ("{folder}/a.npy?limit", "not of the form name=value"),
        ("{folder}/a.csv?shuffle=1", "only files of arrays"),
        ("{folder}/a.csv?header=perhaps", "header: expected true or false"),
        ("{folder}/a.ndjson?header=true", "header: only CSV files"),
        ("{folder}/a.npy?key=true", "key: only CSV files"),
        ("{folder}/a.idx?loop=true&header=false", "header: only CSV files"),
        ("{folder}/strange.bin", "unknown kind of file"),
        ("{folder}/broken.npy", "cannot be read"),
        ("{folder}/broken.fvecs", "vector of length"),
        ("{folder}/flat.npy", "expected (n, D) numbers"),
        ("stdin:?loop=true", "cannot be read twice"),
        ("digits:?loop=true", "does not end by itself"),
        ("digits:?turned_after=-1", "turned_after: expected a whole number"),
        ("river:Nonesuch", "river:Nonesuch: no such stream"),
    ],
)
def test_what_is_wrong_is_named(uri, said, folder):
    (folder / "strange.bin").write_bytes(b"?")
    (folder / "broken.npy").write_bytes(b"not numpy")
    (folder / "broken.fvecs").write_bytes(struct.pack("<i", -7))
    np.save(folder / "flat.npy", np.zeros(5))
    with pytest.raises(SourceError) as error:
        open_source(uri.format(folder=folder))
    assert said in str(error.value)


def test_a_damaged_file_is_named_and_not_a_crash(folder):
    for name in ("a.npz", "images-idx3-ubyte.gz", "a.npy", "a.fvecs"):
        whole = (folder / name).read_bytes()
        for cut in range(0, len(whole), max(1, len(whole) // 40)):
            damaged = folder / f"damaged-{name}"
            damaged.write_bytes(whole[:cut])
            with contextlib.suppress(SourceError):
                open_source(str(damaged))
            middle = bytes(b ^ 0x5A for b in whole[cut : cut + 40])
            damaged.write_bytes(whole[:cut] + middle + whole[cut + 40 :])
            with contextlib.suppress(SourceError):
                open_source(str(damaged))


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.idx", "a-idx3.gz", "a.fvecs", "a.bvecs"])
def test_an_array_without_points_is_an_empty_feed(tmp_path, name):
    path, nothing = tmp_path / name, np.empty((0, 2, 3), np.float32)
    match path.suffix:
        case ".npy":
            np.save(path, nothing)
        case ".npz":
            np.savez(path, x=nothing)
        case ".fvecs" | ".bvecs":
            write_vecs(path, nothing, "<f4")
        case _:
            write_idx(path, nothing)
    assert list(open_source(str(path)).chunks(10)) == []
    assert list(open_source(f"{path}?loop=true&rate=5").chunks(10)) == []


def test_points_of_no_numbers_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.empty((5, 0)))
    with pytest.raises(SourceError, match="of no numbers"):
        open_source(str(tmp_path / "a.npy"))


def test_vectors_of_different_lengths_are_refused(tmp_path):
    path = tmp_path / "a.fvecs"
    path.write_bytes(struct.pack("<iffiff", 2, 1, 2, 3, 4, 5))
    with pytest.raises(SourceError, match="not all of length 2"):
        open_source(str(path))


@pytest.mark.parametrize("field", ["y", "time"])
def test_an_archive_whose_columns_do_not_fit_is_refused(tmp_path, field):
    path = tmp_path / "a.npz"
    np.savez(path, x=X, **{field: np.arange(7)})
    with pytest.raises(SourceError, match=f"{field}: expected 53 entries"):
        open_source(str(path))


def test_a_loop_over_an_empty_file_ends(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("a,b\n")
    assert list(open_source(f"{path}?loop=true").chunks(5)) == []


def test_a_chunk_of_text_has_bounded_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("ingest.sources.text.CHUNK_BYTES", 100)
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"[1, 2, 3]\n" * 100)
    chunks = list(open_source(str(path)).chunks(1000))
    assert sum(map(len, chunks)) == 100
    assert max(sum(map(len, chunk.records)) for chunk in chunks) < 120


def test_chunks_of_wide_points_are_cut_into_pieces_of_bounded_bytes():
    wide = PointBlock(np.zeros((30, 1 << 20), np.uint8), np.arange(30))
    cut = list(pieces(wide))
    assert max(piece.x.nbytes for piece in cut) <= 8 << 20
    np.testing.assert_array_equal(np.concatenate([piece.y for piece in cut]), wide.y)
    assert list(pieces(PointBlock(np.zeros((0, 3))))) != []


def test_a_descriptor_tells_the_direction_of_the_gradient_in_each_cell():
    rising = np.broadcast_to(np.arange(16, dtype=np.float32), (16, 16))
    halves = np.concatenate([np.zeros((8, 16)), rising[:8]]).astype(np.float32)
    right, down, lower = descriptors(np.stack([rising, rising.T, halves])).reshape(3, 16, 8)
    assert (right[:, 0] == 512 // 4).all()
    assert (down[:, 2] == 512 // 4).all()
    assert np.count_nonzero(right) == np.count_nonzero(down) == 16
    assert lower[:4].sum() == 0 < lower[8:, 0].min()


def test_digits_are_turned_after_so_many_points_and_the_same_before():
    def read(options=""):
        return next(iter(open_source("digits:" + options).chunks(400))).x.astype(float)

    upright, later = read(), read("?turned_after=200")
    np.testing.assert_array_equal(upright[:200], later[:200])
    near = [
        np.linalg.norm(x[:200, None] - x[200:], axis=2).min(axis=0).mean() for x in (upright, later)
    ]
    assert near[1] > 1.2 * near[0], "what is turned looks like nothing that was there before"


LINES = [",".join(map(str, row)) for row in X]
EXCEL = '"a, b","c2","c3","c4","c5","c6"\r\n' + "\r\n".join(
    ",".join(f'"{v}"' for v in row) for row in X
)
CSV = {
    "excel": "\ufeff" + EXCEL + "\r\n",
    "mark": "\ufeff" + "\n".join(LINES),
    "mac": "a,b,c,d,e,f\r" + "\r".join(LINES),
    "semicolons": "sep=;\r\n" + "\r\n".join(["a;b;c;d;e;f", *LINES]).replace(",", ";"),
    "german": "\n".join(["a,b,c,d,e,f", *LINES]).replace(",", ";").replace(".", ","),
    "tabs": "\n".join(["a,b,c,d,e,f", *LINES]).replace(",", "\t"),
    "wrapped": '\n"a\nin cm",b,c,d,e,f\n\n' + "\n\n".join(LINES),
    "last": "\n".join(LINES),
}


@pytest.mark.parametrize("kind", CSV)
def test_csv_as_people_have_it_is_read_from_any_place(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("ingest.sources.lines.READ_BYTES", 16)  # a line end may fall apart
    path = tmp_path / "a.csv"
    path.write_bytes(CSV[kind].encode())
    np.testing.assert_array_equal(numbers(open_source(str(path)).chunks(7)), X)
    for check in all_checks():
        check(lambda: open_source(str(path)))


def test_a_header_of_numbers_is_one_if_it_is_said_so(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("0\t1\n5\t6\n")
    assert numbers(open_source(str(path)).chunks(9)).tolist() == [[0, 1], [5, 6]]
    assert numbers(open_source(f"{path}?header=true").chunks(9)).tolist() == [[5, 6]]
    path.write_text("n/a\tn/a\n5\t6\n")
    (chunk,) = open_source(f"{path}?header=false").chunks(9)
    assert len(chunk) == 2


def gz_cut(path, content: bytes, keep: float) -> None:
    path.write_bytes(gzip.compress(content)[: int(len(gzip.compress(content)) * keep)])


def until_damage(places):
    taken = []
    try:
        taken.extend(places)
    except SourceError as error:
        return taken, str(error)
    return taken, ""


@pytest.mark.parametrize("name", ["a.ndjson.gz", "a.csv.gz"])
@pytest.mark.parametrize("points", [7, 1000, 100_000])
def test_a_file_that_is_cut_off_gives_what_is_whole_and_goes_on_when_it_is_mended(
    tmp_path, name, points
):
    rows = np.random.default_rng(1).random((3000, 3))
    form = "[{}]" if "json" in name else "{}"
    content = "\n".join(form.format(",".join(map(repr, map(float, row)))) for row in rows).encode()
    path = tmp_path / name
    gz_cut(path, content, 0.5)
    source = seekable(open_source(str(path)))
    taken, said = until_damage(source.places(points, 0, 0))
    assert "damaged: Compressed file ended" in said
    assert "read on from there" in said
    offset, records = taken[-1][1], sum(len(chunk) for chunk, _ in taken)
    assert 1000 < records < 2000, "also what came after the last full chunk"
    np.testing.assert_array_equal(numbers(chunk for chunk, _ in taken), rows[:records])
    again = seekable(open_source(str(path)))
    assert again.continues(source.identity, offset)
    with pytest.raises(SourceError):
        next(again.places(points, offset, records))
    gz_cut(path, content, 1.0)
    mended = seekable(open_source(str(path)))
    assert mended.continues(source.identity, offset)
    rest = [chunk for chunk, _ in mended.places(points, offset, records)]
    np.testing.assert_array_equal(numbers(rest), rows[records:])
    gz_cut(path, content, 0.2)
    with pytest.raises(SourceError, match="damaged"):
        seekable(open_source(str(path))).continues(source.identity, offset)


def test_a_file_that_rots_in_the_middle_says_so_wherever_that_is(tmp_path):
    content = "\n".join(LINES * 20).encode()
    whole = gzip.compress(content)
    path = tmp_path / "a.csv.gz"
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            records = sum(map(len, open_source(str(path)).chunks(50)))
        except SourceError:
            continue
        assert records == len(LINES) * 20, "a byte that does not matter: time, name, system"


def test_utf16_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("1,2\n", encoding="utf-16")
    with pytest.raises(SourceError, match="UTF-16 - save it as UTF-8"):
        open_source(str(tmp_path / "a.csv"))


def test_long_lines_are_cut_and_memory_stays_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("ingest.sources.lines.MAX_LINE_BYTES", 100)
    path = tmp_path / "long.ndjson"
    path.write_bytes(b"[" + b"1," * 500 + b"1]\n[2]\n")
    chunks = list(open_source(str(path)).chunks(1000))
    records = [r for c in chunks if isinstance(c, Raw) for r in c.records]
    assert max(map(len, records)) <= 100
    assert records[-1] == b"[2]"


def test_the_last_columns_of_a_csv_file_may_be_targets(folder):
    (raw,) = open_source(f"{folder}/plain.csv?targets=2").chunks(100)
    found = [raw.decode(line) for line in raw.records]
    assert [one.x for one in found] == X[:, :4].tolist()
    assert [one.y for one in found] == X[:, 4:].tolist()
    for other in ("a.ndjson", "a.npy"):
        with pytest.raises(SourceError, match="targets: only CSV files have it"):
            open_source(f"{folder}/{other}?targets=1")


@pytest.mark.parametrize(
    ("options", "raw", "key"),
    [("targets=1", b"1,2,3", b""), ("targets=1&key=true", b"k,1,2,3", b"k")],
)
def test_a_dead_letter_of_such_a_file_is_read_again_with_its_target(folder, options, raw, key):
    form = open_source(f"{folder}/plain.csv?{options}").format
    letter = DeadLetter("i1", 1, "plain.csv", form, "y: no class", 0.0, raw)
    record = dead_letters._record(letter)
    assert (record.x, record.y, record.key) == ([1.0, 2.0], [3.0], key)
