"""From a folder, a table or a name to an index of images with digests, labels and splits."""

from __future__ import annotations

from headstart.data.decode import IMAGE_SUFFIXES, MAX_PIXELS, read_pixels, read_rgb
from headstart.data.duplicates import feature_pairs
from headstart.data.find import find_images
from headstart.data.index import index
from headstart.data.named import set_names
from headstart.data.packed import find_parts, is_packed, read_part
from headstart.data.parts import Part
from headstart.data.pictures import Picture, Source, is_one_image, list_sources, picture_of
from headstart.data.records import SPLITS, DuplicateGroup, Index, Quarantined, Record
from headstart.data.samples import sample_folder, sample_names, write_cat, write_digits
from headstart.data.split import make_split
from headstart.data.training import duplicate_groups, training_records

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "SPLITS",
    "DuplicateGroup",
    "Index",
    "Part",
    "Picture",
    "Quarantined",
    "Record",
    "Source",
    "duplicate_groups",
    "feature_pairs",
    "find_images",
    "find_parts",
    "index",
    "is_one_image",
    "is_packed",
    "list_sources",
    "make_split",
    "picture_of",
    "read_part",
    "read_pixels",
    "read_rgb",
    "sample_folder",
    "sample_names",
    "set_names",
    "training_records",
    "write_cat",
    "write_digits",
]
