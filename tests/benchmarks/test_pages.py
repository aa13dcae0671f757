"""README, docs/performance.md and the plots say what the results say."""

from benchmarks import pages, results
from benchmarks.report import Report, Spread
from benchmarks.results import Result


def test_pages_agree_with_the_results():
    assert pages.stale(results.read()) == [], "run `make docs`"


def test_a_page_that_says_something_else_is_found(tmp_path):
    found = {
        "speedup": Result(
            {"cores": "2"},
            1.0,
            (Report("S", {"workers": "d"}, ((2,),), "", {"speedup_2": Spread(1.9, 1.8, 2.0)}),),
        )
    }
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("<!-- benchmark rows -->\n9 times\n<!-- end -->\nmore")
    assert pages.stale(found, tmp_path) == ["README.md", "performance.md"]
    for path, text in pages.pages(found, tmp_path).items():
        path.write_text(text)
    assert pages.stale(found, tmp_path) == []
    assert "1.90 (1.80 to 2.00) times faster" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "README.md").read_text().endswith("more")


def test_every_line_of_the_readme_is_of_a_benchmark():
    from benchmarks.__main__ import NAMES

    assert {row.benchmark for row in pages.ROWS} <= set(NAMES)
