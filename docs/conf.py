"""The site: one configuration for both languages; the tag ``zh`` builds the Chinese one.

The sources are laid out by _site.stage before Sphinx reads them: see scripts/docs.sh.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

CHINESE = tags.has("zh")  # noqa: F821 - Sphinx gives it

project = "softmax2d"
author = "The softmax2d developers"
project_copyright = f"2026, {'softmax2d 开发者' if CHINESE else author}"
language = "zh_CN" if CHINESE else "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "_site.search",
    "_site.page",
    "_site.reference",
    "_site.gallery",
]

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # executed once for both languages, before the builds
nb_merge_streams = True
exclude_patterns = [
    # of MathJax all but the one script, its fonts and its extensions
    *(f"mathjax/{name}" for name in ("a11y", "adaptors", "sre", "ui", "input/mml*", "output/svg*")),
    *(
        f"mathjax/{name}.js"
        for name in ("core", "latest", "node-main", "*mml-*", "*-svg*", "*-full*")
    ),
]
suppress_warnings = ["mystnb.unknown_mime_type"]
templates_path = ["_templates"]
highlight_language = "none"

html_theme = "pydata_sphinx_theme"
html_title = (
    "softmax2d：语义分割的输出层" if CHINESE else "softmax2d: the output layer of segmentation"
)
html_short_title = "softmax2d"
# MathJax from a package, in a folder mathjax/: no page asks another host.
_mathjax = find_spec("sphinx-mathjax-offline")
html_static_path = ["_static", str(Path(_mathjax.origin).parent / "static")]
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}  # what it opens is left out
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = "_static/logo.svg"
html_search_language = "zh"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = True
html_domain_indices = False
# Pages of no section: their sidebar would be empty.
ALONE = ("index", "files", "export", "rare-classes", "adapters", "benchmarks")
html_sidebars = {**{page: [] for page in ALONE}, "**": ["sidebar-nav-bs"]}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {
        "text": "softmax2d",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "alt_text": "softmax2d",
    },
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button-field", "language-switch"],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "header_dropdown_text": "更多" if CHINESE else "More",
    "search_bar_text": "搜索文档…" if CHINESE else "Search the docs …",
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["rights"],
    "footer_end": [],
    "show_nav_level": 1,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "use_edit_page_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_exclude = ".linenos, .gp, .go"
