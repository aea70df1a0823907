"""Names and colours of labels in the files that GIS programs look for beside a GeoTIFF.

``NAME.tif.aux.xml`` is GDAL's: names of categories and a raster attribute table [1]_. ``NAME.qml``
is the style with which QGIS opens the raster [2]_. Both are small, and made of a result's
presentation alone.

References
----------
.. [1] GDAL, "Persistent Auxiliary Metadata" and "Raster Attribute Table".
.. [2] QGIS, "QML - The QGIS Style File Format", renderer "paletted".
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from softmax2d._files.source.presentation import Look

_MARK = "<!-- made by softmax2d -->"
# Columns of the attribute table: name, GDAL's type (integer or text), GDAL's usage.
_COLUMNS = (
    ("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8),
    ("Alpha", 0, 9),
)  # fmt: skip


def companions(path: Path, look: Look) -> dict[Path, bytes]:
    """Return the files beside a GeoTIFF of labels with names or colours, and what is in them."""
    geotiff = look.space is not None and look.space.kind == "geotiff"
    if not geotiff or look.what != "labels" or look.colours is None:
        return {}
    names = [str(k) for k in range(look.classes)] if look.names is None else list(look.names)
    shown = [_plain(name) for name in names]
    colours = [(int(r), int(g), int(b)) for r, g, b in look.colours[: look.classes]]
    table, style = _paths(path)
    return {
        table: _table(shown, colours).encode("utf-8", "replace"),
        style: _style(shown, colours).encode("utf-8", "replace"),
    }


def left_over(path: Path) -> list[Path]:
    """Return the files of an earlier raster of this name, which are not true of another.

    GDAL's own, which it deletes with the raster; and a style that these functions made.
    """
    table, style = _paths(path)
    found = [table] if _begins(table, b"<PAMDataset>", 0) else []
    return found + ([style] if _begins(style, _MARK.encode(), 200) else [])


def _paths(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}.aux.xml"), path.with_suffix(".qml")


def _begins(path: Path, mark: bytes, within: int) -> bool:
    """Return whether a file has ``mark`` near its beginning."""
    if not path.is_file() or path.is_symlink():
        return False
    with open(path, "rb") as file:
        return mark in file.read(within + len(mark))


def _plain(text: str) -> str:
    """Return a text without the characters that no XML holds."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _table(names: list[str], colours: list[tuple[int, int, int]]) -> str:
    """Return GDAL's names of categories and attribute table."""
    categories = "".join(f"      <Category>{escape(name)}</Category>\n" for name in names)
    columns = "".join(
        f'      <FieldDefn index="{i}"><Name>{name}</Name><Type>{kind}</Type>'
        f"<Usage>{usage}</Usage></FieldDefn>\n"
        for i, (name, kind, usage) in enumerate(_COLUMNS)
    )
    rows = ""
    for k, (name, colour) in enumerate(zip(names, colours, strict=True)):
        cells = "".join(f"<F>{escape(str(cell))}</F>" for cell in (k, name, *colour, 255))
        rows += f'      <Row index="{k}">{cells}</Row>\n'
    return (
        f'<PAMDataset>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n{categories}'
        "    </CategoryNames>\n"
        f'    <GDALRasterAttributeTable tableType="thematic">\n{columns}{rows}'
        "    </GDALRasterAttributeTable>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )


def _style(names: list[str], colours: list[tuple[int, int, int]]) -> str:
    """Return QGIS's style."""
    entries = "".join(
        f'        <paletteEntry value="{k}" color="#{r:02x}{g:02x}{b:02x}" alpha="255" '
        f"label={quoteattr(name)}/>\n"
        for k, (name, (r, g, b)) in enumerate(zip(names, colours, strict=True))
    )
    return (
        f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{_MARK}\n"
        '<qgis version="3.22.0" styleCategories="Symbology">\n  <pipe>\n'
        '    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">\n'
        "      <rasterTransparency/>\n"
        f"      <colorPalette>\n{entries}      </colorPalette>\n"
        "    </rasterrenderer>\n  </pipe>\n  <blendMode>0</blendMode>\n</qgis>\n"
    )
