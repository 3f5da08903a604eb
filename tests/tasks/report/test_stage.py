"""The two files, read back with parsers that know nothing of the report."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from schemas.errors import StoreError
from tasks.agreement.told import read_agreement
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
        if {"style", "script"} & set(self._open):
            return
        self.text += data
        if "caption" in self._open:
            self.tables[-1].caption += data
        elif {"td", "th"} & set(self._open) and not {"sup", "small"} & set(self._open):
            self.tables[-1].rows[-1][-1] += data


def report(fake: FakeStore, **options: str) -> ReportFiles:
    note = options.pop("corpus_note", SYNTHETIC)
    return write_report(
        fake.store,
        rows=fake.rows,
        title="Valence <by rater>",
        protocol=PROTOCOL,
        protocol_name="per-rater",
        corpus_note=note,
        notes=["My note."],
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
    assert len(tables) == 2 * 2 * 5  # partitions, poolings, metrics
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
    from_html = [
        [[cell.strip() for cell in cells[1:]] for cells in table.rows[1:]] for table in score_tables(written.page)
    ]
    # One table after the other in both: the first partition's stand in the same order as the folded ones.
    blocks, found = written.markdown.split("\n\n"), []
    for block in blocks:
        if re.match(r"\| (CCC|CC|RMSE|MAE|SAGR) \|", block):
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
    unmarked = [table.caption for table in page.tables if "Synthetic corpus." not in table.caption]
    assert all("published" in caption or caption == "CCC by rater." for caption in unmarked)
    assert len(unmarked) == 7  # tables of papers, of which nothing was measured here
    assert SYNTHETIC in page.text
    assert "of a synthetic corpus, CNN + RNN reaches a mean CCC" in page.text
    blocks = written.markdown.split("\n\n")
    for before, block in itertools.pairwise(blocks):
        if re.match(r"\| (CCC|CC|RMSE|MAE|SAGR) \|", block):
            assert "Protocol: per-rater" in before
            assert "Synthetic corpus." in before


def test_a_corpus_that_is_not_synthetic_is_not_called_so(build: Build) -> None:
    files = report(build(), corpus_note="")
    for path in (files.html, files.markdown):
        assert "ynthetic" not in path.read_text(encoding="utf-8")


def test_nothing_is_fetched(written: Written) -> None:
    words = re.sub(r'"data:image/webp;base64,[A-Za-z0-9+/=]+"', '""', written.html)
    words = re.sub(r'<script type="text/plain" class="packed">[A-Za-z0-9+/=]+</script>', "", words)
    script = words.index("<script>")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\((?!#inside)|@import", words)
    assert not re.search(r"//\w", words[:script])
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|\.src\b|eval\(|innerHTML", words[script:])
    for tag, attributes in written.page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        assert str(attributes.get("href", "#")).startswith("#")
        assert str(attributes.get("src", "data:")).startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    images = re.findall(r"!\[[^\]]+\]\(([^)]{0,40})", written.markdown)
    assert len(images) == 2
    assert all(image.startswith("data:image/png;base64,") for image in images)


def test_the_policy_allows_this_script_alone(written: Written) -> None:
    scripts = [attributes for tag, attributes in written.page.tags if tag == "script"]
    assert [attributes.get("type") for attributes in scripts] == ["application/json", *["text/plain"] * 4, None]
    policy = next(
        str(attributes["content"])
        for tag, attributes in written.page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    text = written.html.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert re.findall(r"script-src ([^;]+)", policy) == [f"'sha256-{digest}'"]


def test_what_came_from_outside_is_escaped(written: Written) -> None:
    assert "<script>alert" not in written.html
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
    quality = next(table for table in page.tables if {"Share", "Longest gap"} <= set(table.rows[0]))
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
    assert html.count('class="packed"') == 14
    assert _size(files.html) < 1_500_000
    assert _size(files.markdown) < 1_000_000


def test_many_raters_are_drawn_and_agree(build: Build) -> None:
    fake = build(num_recordings=2, raters=tuple(f"R{number}" for number in range(1, 33)))
    page = Page(html_of(fake))
    heat = next(table for table in page.tables if "of each rater with each other" in table.caption)
    assert (len(heat.rows), len(heat.rows[0])) == (33, 33)


def test_what_an_old_store_lacks_is_said_with_its_command(build: Build) -> None:
    fake = build(raters_measured=False)
    fake.rows = tuple(row for row in fake.rows if row.role != "human")
    files = report(fake)
    html, markdown = files.html.read_text(encoding="utf-8"), files.markdown.read_text(encoding="utf-8")
    for text in (html, markdown):
        assert "affectflow agreement --store S --dimension valence" in text
        assert "affectflow sweep K-table1 --store S" in text
    assert "No delay was searched in this store." in html
    assert "No human line" in html


def test_agreement_and_delays_are_the_stores_own(written: Written) -> None:
    told = read_agreement(written.fake.store, "valence")
    pair = told.rows.filter(
        (pl.col("statistic") == "ccc") & (pl.col("rater") == "FM1") & (pl.col("other") == "FM2")
        & (pl.col("pooling") == "concatenated")
    )["value"][0]  # fmt: skip
    heat = next(table for table in written.page.tables if "CCC of each rater with each other" in table.caption)
    row = next(cells for cells in heat.rows if cells[0] == "FM1")
    assert to_number(row[heat.rows[0].index("FM2")]) == pytest.approx(pair, abs=0.0051)
    best = next(table for table in written.page.tables if "delay that was chosen" in table.caption)
    assert [cells[:2] for cells in best.rows[1:]] == [[rater, f"{0.4 * turn:.1f}"] for turn, rater in enumerate(RATERS)]


def test_papers_stand_with_protocol_and_contradictions(written: Written) -> None:
    page = written.page
    own = next(table for table in page.tables if table.caption.startswith("This report's rows"))
    first = next(table for table in page.tables if "table 1: networks" in table.caption)
    assert own.rows[0][-1] == first.rows[0][-1] == "Protocol"
    assert {cells[-1] for cells in own.rows[1:]} == {"A"}
    assert {cells[-1] for cells in first.rows[1:]} == {"B"}
    assert ["CNN+RNN ReLU", "published, dev", "0.107", "0.553", "0.481", "B"] in first.rows
    for text in (
        "CNN+D: CCC .363 here and .326",
        ".0292",
        "W + 1 frames",
        "fit neither official one",
        "(.757 and .805)",
    ):
        assert text in page.text
        assert text in written.markdown.replace("\\", "")


def test_headings_never_skip_a_level(written: Written) -> None:
    levels = [int(tag[1]) for tag, _ in written.page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def _size(path: Path) -> int:
    return path.stat().st_size
