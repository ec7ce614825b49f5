"""The peer of bench/serve.py: the prediction service that people write with FastAPI and torch.

One address takes a file, Pillow decodes it, and the model sees one picture a call. The model is the
same classifier, exported to TorchScript, so that the answers can be compared.

    python bench/peers/serve_plain.py model.pt
"""

from __future__ import annotations

import io
import json
import socket
import sys

import numpy as np
import torch
import uvicorn
from fastapi import Body, FastAPI
from PIL import Image


def make_app(path: str) -> FastAPI:
    """The service of an exported model."""
    facts = {"headstart.json": ""}
    model = torch.jit.load(path, _extra_files=facts).eval()
    classes = json.loads(facts["headstart.json"])["classes"]
    app = FastAPI()

    @app.post("/predict")
    def predict(data: bytes = Body(media_type="image/jpeg")) -> dict[str, object]:
        picture = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
        with torch.inference_mode():
            probabilities = model(torch.from_numpy(picture)[None])[0]
        best = int(probabilities.argmax())
        top = [{"label": classes[best], "probability": float(probabilities[best])}]
        return {"predictions": [{"label": classes[best], "top": top}]}

    return app


def main() -> None:
    """Serve on a free port, and say which."""
    app = make_app(sys.argv[1])
    sock = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"url": f"http://127.0.0.1:{sock.getsockname()[1]}"}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[sock])


if __name__ == "__main__":
    main()
