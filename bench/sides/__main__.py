"""The processes that measure: ``python -m bench.sides NAME '{"argument": ...}'``.

Each function prepares one side (imports, network, images) and gives its actions. The peers' own code
is in ``bench/peers``; it is only called and timed here.
"""

from __future__ import annotations

import importlib
import sys

from bench.harness import serve

# Found by name, so that a side imports nothing but its own.
HOMES = {
    "convert": "networks",
    "extract_ours": "extraction",
    "extract_plain": "extraction",
    "extract_resolutions": "extraction",
    "extract_share": "scale",
    "finetune_ours": "training",
    "finetune_plain": "training",
    "forward_ours": "forward",
    "forward_peer": "forward",
    "forward_resolutions": "forward",
    "head_ours": "heads",
    "head_plain": "heads",
    "index_cost": "scale",
    "most_shards": "scale",
    "peak_memory": "extraction",
    "predict_loop": "predicting",
    "run_of_images": "heads",
    "small_run": "heads",
    "store_cost": "scale",
    "svm_path": "heads",
    "textcnn_ours": "texts",
    "textcnn_plain": "texts",
    "texthead_ours": "texts",
    "texthead_plain": "texts",
    "write_static": "texts",
    "write_weights": "networks",
}

if __name__ == "__main__":
    side = sys.argv[1]
    serve(getattr(importlib.import_module(f"bench.sides.{HOMES[side]}"), side))
