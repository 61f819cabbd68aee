"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from batchwire_server.gateway.web.metrics import Metrics
from batchwire_server.settings import documentation
from prometheus_client import CollectorRegistry

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))


def test_every_setting_is_in_the_configuration_page() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    section = page.split("\n## Settings\n")[1].split("\n## ")[0]
    listed = [line for line in section.splitlines() if line.startswith("| `")]
    assert listed == [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in documentation()]


def test_every_metric_is_in_the_page_on_metrics() -> None:
    registry = CollectorRegistry()
    Metrics(registry).record("/", "GET", 200, 0.1)
    rows = []
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in family.samples[0].labels if label != "le")
        rows.append(f"| `{name}` | {family.type} | {labels + ' ' if labels else ''}| {family.documentation} |")
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


def test_every_verb_that_documents_name_exists() -> None:
    verbs = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        assert set(re.findall(r"`make ([a-z-]+)`", document.read_text())) <= verbs, document


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md"])
def test_every_path_of_the_maps_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    named = re.findall(r"`((?:core|service|worker|adapters|api|gateway|roles|proto|tests|docs)/[\w./]*\w/?)`", text)
    for name in named:
        candidates = [ROOT / name, ROOT / "server" / "batchwire_server" / name]
        assert any(path.exists() for path in candidates), name
