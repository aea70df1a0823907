"""TIFF, GeoTIFF and OME-TIFF."""
