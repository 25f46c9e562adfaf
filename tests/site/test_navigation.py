"""The list of pages beside each page: the appendix is folded, but on its own pages."""

import pytest
from browser import soup
from conftest import ROOT
from sphinx_external_toc.parsing import parse_toc_yaml

PAGES = [name for name in parse_toc_yaml(ROOT / "_toc.yml")][1:]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_lists_all_others_once_and_folds_the_appendix_where_it_is_not_in_it(site, name):
    page = soup(site / f"{name}.html")
    links = [a for a in page.select(".bd-sidebar-primary nav a") if a.get("href")]
    assert len(links) == len({a["href"] for a in links}) == len(PAGES)
    (part,) = page.select(".bd-sidebar-primary details")
    assert part.summary.get_text().strip() == "Appendix"
    assert part.has_attr("open") == bool(part.select(".current"))
    assert [a.get_text().strip() for a in page.select(".bd-sidebar-primary li.current > a")] == [page.h1.contents[0]]
