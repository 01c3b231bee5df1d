"""What the code refers to is in the repository."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent.parent
FACTS = "docs/illumos.md"


def texts() -> dict[str, str]:
    """Every file of the project that people read, comments and all."""
    found = {}
    for folder in ("zonemgr", "templates", "tests", "test", "scripts", "benchmarks", "docs"):
        for path in (HERE / folder).rglob("*"):
            if path.suffix in (".py", ".j2", ".sh", ".md", ".toml") and path.name != Path(__file__).name:
                found[str(path.relative_to(HERE))] = path.read_text(errors="replace")
    return found


def test_no_comment_refers_to_a_document_that_is_not_here() -> None:
    elsewhere = re.compile(r"facts sheet|[a-z]+[- ]findings|design,? (section )?[0-9]", re.IGNORECASE)
    assert {name for name, text in texts().items() if elsewhere.search(text)} == set()


def test_every_fact_referred_to_has_its_heading() -> None:
    headings = set(re.findall(r"^## (.+)$", (HERE / FACTS).read_text(), re.MULTILINE))
    named = set()
    for text in texts().values():
        joined = re.sub(r"\n\s*#?\s*", " ", text)
        for words in re.findall(rf"{re.escape(FACTS)}: ([A-Za-z ,]+)", joined):
            known = {heading for heading in headings if words.startswith(heading) or f", {heading}" in words}
            named |= known
            assert known, words
    assert len(named) > 8
