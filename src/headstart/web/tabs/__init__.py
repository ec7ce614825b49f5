"""The tabs of the page, one file each: components, and what happens when they are used."""

from __future__ import annotations

from headstart.web.tabs.augment import augment_tab
from headstart.web.tabs.compare import compare_tab
from headstart.web.tabs.convolution import convolution_tab
from headstart.web.tabs.layers import layers_tab
from headstart.web.tabs.live import live_tab
from headstart.web.tabs.predict import predict_tab
from headstart.web.tabs.train import train_tab

__all__ = [
    "augment_tab",
    "compare_tab",
    "convolution_tab",
    "layers_tab",
    "live_tab",
    "predict_tab",
    "train_tab",
]
