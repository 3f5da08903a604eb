"""The two files, read back with parsers that know nothing of the report."""

from __future__ import annotations

import base64
import itertools
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from schemas.errors import StoreError
from tasks.report.stage import ReportFiles, ReportRow, write_report
from tasks.store.failures import clear_failure

from .conftest import HOSTILE, RATERS, ROWS, Build, FakeStore, build_store

PROTOCOL = "per-rater: raters apart, no delay; selected on dev"
SYNTHETIC = "Synthetic corpus: two portraits & a hidden valence."
DASH = "\N{EN DASH}"
VOID = {"meta", "br", "img", "link", "input", "hr"}


@dataclass
class Table:
    attributes: dict[str, str | None]
    caption: str = ""
    rows: list[list[str]] = field(default_factory=list)


class Page(HTMLParser):
    """Tables, tags and attributes of a page, and whether every tag that opens also closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append(Table(dict(attrs)))
        elif tag == "tr":
            self.tables[-1].rows.append([])
        elif tag in ("td", "th"):
            self.tables[-1].rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if "caption" in self._open:
            self.tables[-1].caption += data
        elif {"td", "th"} & set(self._open) and "sup" not in self._open:
            self.tables[-1].rows[-1][-1] += data


def report(fake: FakeStore, **options: str) -> ReportFiles:
    note = options.pop("corpus_note", SYNTHETIC)
    return write_report(
        fake.store, rows=fake.rows, title="Valence <by rater>", protocol=PROTOCOL, corpus_note=note, notes=["My note."]
    )


def html_of(fake: FakeStore) -> str:
    return report(fake).html.read_text(encoding="utf-8")


@dataclass
class Written:
    """A report of the untouched fake store, shared by the tests that only read it."""

    fake: FakeStore
    html: str
    markdown: str
    page: Page


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    fake = build_store(tmp_path_factory.mktemp("report") / "store")
    files = report(fake)
    html = files.html.read_text(encoding="utf-8")
    return Written(fake, html, files.markdown.read_text(encoding="utf-8"), Page(html))


def score_tables(page: Page) -> list[Table]:
    return [table for table in page.tables if "data-metric" in table.attributes]


def to_number(text: str) -> float | None:
    return None if text == DASH else float(text.replace("\N{MINUS SIGN}", "-"))


def test_numbers_are_the_metrics(written: Written) -> None:
    fake, tables = written.fake, score_tables(written.page)
    assert len(tables) == 2 * 2 * 3  # partitions, poolings, metrics
    for table in tables:
        metric = str(table.attributes["data-metric"])
        partition = "test" if "Test partition" in table.caption else "dev"
        pooling = "concatenated" if "concatenated" in table.caption else "per_recording"
        assert table.rows[0] == [metric.upper(), *RATERS, "mean"]
        for row, cells in zip(ROWS, table.rows[1:], strict=True):
            assert cells[0].startswith(row.label)
            expected = [fake.metrics[row.model_id, partition, pooling, metric, None, rater] for rater in RATERS]
            shown = [to_number(cell) for cell in cells[1:]]
            assert shown[:-1] == [None if value is None else pytest.approx(value, abs=5.1e-4) for value in expected]
            defined = [value for value in expected if value is not None]
            mean = pytest.approx(sum(defined) / len(defined), abs=5.1e-4) if defined else None
            assert shown[-1] == mean


def test_markdown_has_the_same_numbers(written: Written) -> None:
    from_html = [[cells[1:] for cells in table.rows[1:]] for table in score_tables(written.page)]
    # One table after the other in both: the first partition's stand in the same order as the folded ones.
    blocks, found = written.markdown.split("\n\n"), []
    for block in blocks:
        if re.match(r"\| (CCC|CC|RMSE) \|", block):
            lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in block.splitlines()]
            assert len({len(cells) for cells in lines}) == 1
            found.append([[re.sub(r"[†\\*]", "", cell) for cell in cells[1:]] for cells in lines[2:]])
    assert found == from_html


def test_no_score_without_protocol_partition_pooling_and_what_the_corpus_is(written: Written) -> None:
    page = written.page
    for table in score_tables(page):
        assert "Protocol: per-rater: raters apart, no delay; selected on dev." in table.caption
        assert re.search(
            r"(Test|Dev) partition, (2 recordings concatenated|per recording: mean over 2 recordings)\.", table.caption
        )
    assert all("Synthetic corpus." in table.caption for table in page.tables)
    assert SYNTHETIC in page.text
    assert "of a synthetic corpus, CNN + RNN reaches a mean CCC" in page.text
    blocks = written.markdown.split("\n\n")
    for before, block in itertools.pairwise(blocks):
        if re.match(r"\| (CCC|CC|RMSE) \|", block):
            assert "Protocol: per-rater" in before
            assert "Synthetic corpus." in before


def test_a_corpus_that_is_not_synthetic_is_not_called_so(build: Build) -> None:
    files = report(build(), corpus_note="")
    for path in (files.html, files.markdown):
        assert "ynthetic" not in path.read_text(encoding="utf-8")


def test_nothing_is_fetched(written: Written) -> None:
    words = re.sub(r'"data:image/webp;base64,[A-Za-z0-9+/=]+"', '""', written.html)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|//\w|url\(|@import", words)
    for tag, attributes in written.page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert str(attributes.get("href", "#")).startswith("#")
        assert str(attributes.get("src", "data:")).startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    images = re.findall(r"!\[[^\]]+\]\(([^)]{0,40})", written.markdown)
    assert len(images) == 2
    assert all(image.startswith("data:image/png;base64,") for image in images)


def test_what_came_from_outside_is_escaped(written: Written) -> None:
    assert "<script" not in written.html
    assert HOSTILE in written.page.text
    assert "<title>Valence &lt;by rater&gt;</title>" in written.html
    assert "<script" not in written.markdown
    failures = next(block for block in written.markdown.split("\n\n") if block.startswith("| recording | stage"))
    assert r"not found \| in \`P4\`" in failures.splitlines()[2]


def test_headers_have_scope_and_pictures_have_words(written: Written) -> None:
    assert ("html", {"lang": "en"}) in written.page.tags
    for tag, attributes in written.page.tags:
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes["aria-label"]
        if tag == "img":
            assert attributes["alt"]


def test_a_recording_without_frames_is_told_not_hidden(written: Written) -> None:
    page = written.page
    quality = next(table for table in page.tables if "Share" in table.rows[0])
    by_name = {row[0]: row for row in quality.rows[1:]}
    share, gap = quality.rows[0].index("Share"), quality.rows[0].index("Longest gap")
    assert (by_name["P13"][share], by_name["P13"][gap]) == ("86.0 %", "1.00 s")  # 25 and 10 of 250 frames at 25/s
    assert (by_name["P14"][share], by_name["P14"][gap]) == ("100.0 %", "0.00 s")
    assert (by_name["P16"][share], by_name["P16"][-1]) == (DASH, DASH)
    assert "no frames in the store" in page.text


def test_no_failures_says_so(build: Build) -> None:
    fake = build()
    clear_failure(fake.store, "faces", fake.recordings[-1])
    files = report(fake)
    assert "Failures</h2>\n<p>None.</p>" in files.html.read_text(encoding="utf-8")
    assert "## Failures\n\nNone." in files.markdown.read_text(encoding="utf-8")


def test_missing_predictions_are_told(build: Build) -> None:
    fake = build()
    fake.store.predictions(ROWS[0].model_id, "P13").unlink()
    files = report(fake)
    for path in (files.html, files.markdown):
        assert "o predictions of this recording in the store" in path.read_text(encoding="utf-8")


def test_missing_metrics_leave_no_report(build: Build) -> None:
    fake = build()
    fake.rows = (*ROWS, ReportRow("nobody-00000000", "Nobody", "model"))
    with pytest.raises(StoreError, match="run `affectflow evaluate"):
        report(fake)
    assert not fake.store.reports.exists()


def test_provenance_reaches_the_page(written: Written) -> None:
    page = written.page
    for text in ("khorrami-rnn-1a2b3c4d", "0123456789abcdef", "0d0d0d0d0d0d", "ffmpeg 9.0", "settings.network.window"):
        assert text in page.text
    assert "My note." in page.text


def test_pictures_in_markdown_are_png(written: Written) -> None:
    for data in re.findall(r"base64,([^)]+)\)", written.markdown):
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG\r\n\x1a\n")


def test_many_recordings_stay_small_and_wait_behind_a_fold(build: Build) -> None:
    fake = build(num_recordings=14, num_frames=500)
    files = report(fake)
    html = files.html.read_text(encoding="utf-8")
    assert "2 more recordings" in html
    assert html.count('<section class="recording">') == 14
    assert _size(files.html) < 1_500_000
    assert _size(files.markdown) < 1_000_000


def test_many_raters_fold_their_panels(build: Build) -> None:
    fake = build(num_recordings=2, raters=tuple(f"R{number}" for number in range(1, 33)))
    assert html_of(fake).count("<summary>Each of 32 raters</summary>") == 2


def _size(path: Path) -> int:
    return path.stat().st_size
