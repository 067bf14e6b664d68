"""README and docs: their tables are those of the cards, what they name exists, and the README stays short."""

import re
import subprocess
import sys

import pytest

from scripts import make_results

ROOT = make_results.ROOT
PAGES = [*make_results.documents(), ROOT / "models" / "README.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def anchors(path):
    """Names under which the headings of a page can be linked, as GitHub makes them."""
    headings = HEADING.findall(CODE.sub("", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A folder with copies of README and docs, in which `make_results` works."""
    for path in make_results.documents():
        page = tmp_path / name_of(path)
        page.parent.mkdir(exist_ok=True)
        page.write_text(path.read_text())
    monkeypatch.setattr(make_results, "ROOT", tmp_path)
    return tmp_path


def test_tables_are_those_of_the_cards():
    assert make_results.main(["--check"]) == []


def test_every_result_stands_somewhere():
    text = "".join(path.read_text() for path in make_results.documents())
    assert {block["name"] for block in make_results.BLOCK.finditer(text)} == set(
        make_results.RESULTS
    )


def test_the_check_names_files_that_differ_and_leaves_them(copy):
    readme = copy / "README.md"
    right = readme.read_text()
    wrong = right.replace("99.30 %", "99.99 %")
    readme.write_text(wrong)
    with pytest.raises(SystemExit, match="^README.md: "):
        make_results.main(["--check"])
    assert readme.read_text() == wrong
    assert make_results.main([]) == ["README.md"]
    assert readme.read_text() == right


def test_cards_are_linked_from_where_a_page_stands():
    counters = "<!-- made by scripts/make_results.py: counters -->\n<!-- end -->"
    assert "](models/top/card.json)" in make_results.renewed(counters, "README.md")
    assert "](../models/top/card.json)" in make_results.renewed(counters, "docs/models.md")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<!-- made by scripts/make_results.py: counters -->\n",
            "README.md: .* has no <!-- end -->",
        ),
        (
            "<!-- made by scripts/make_results.py: counters -->\n"
            "<!-- made by scripts/make_results.py: effects -->\n<!-- end -->",
            "README.md: .* has no <!-- end -->",
        ),
        (
            "<!-- made by scripts/make_results.py: prices -->\n<!-- end -->",
            "README.md: no result prices",
        ),
    ],
)
def test_a_table_without_end_or_of_no_result_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        make_results.renewed(text, "README.md")


def test_results_are_made_without_tensorflow():
    program = (
        "import sys; from scripts import make_results; make_results.headline(); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"tensorflow", "keras"} & set(done.stdout.split())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_pictures_exist(page):
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)}: no {link}"
        assert not anchor or anchor in anchors(target), f"{name_of(page)}: no heading for {link}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_scripts_that_are_named_exist(page):
    named = set(re.findall(r"scripts/\w+\.py", page.read_text()))
    missing = [name for name in sorted(named) if not (ROOT / name).is_file()]
    assert not missing, f"{name_of(page)} names {', '.join(missing)}"


def test_every_script_is_in_the_list_of_scripts():
    listed = (ROOT / "docs" / "README.md").read_text()
    scripts = [path.name for path in (ROOT / "scripts").glob("*.py") if path.name != "__init__.py"]
    assert [name for name in scripts if f"`scripts/{name}`" not in listed] == []


def test_the_readme_is_read_in_ten_minutes():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 170
