"""Word vectors by their published names: those of gensim's collection, fetched once.

The names, sizes and addresses are those of https://github.com/piskvorky/gensim-data; the files are
word2vec's formats, gzipped, and need no gensim to be read.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from headstart.data.archives import download
from headstart.data.sources import missing_path
from headstart.home import expand
from headstart.progress import Progress, silent
from headstart.text.embeddings import Embeddings, read_embeddings

HOST = "https://github.com/piskvorky/gensim-data/releases/download"
NAMES = (
    "fasttext-wiki-news-subwords-300",
    "glove-twitter-25",
    "glove-twitter-50",
    "glove-twitter-100",
    "glove-twitter-200",
    "glove-wiki-gigaword-50",
    "glove-wiki-gigaword-100",
    "glove-wiki-gigaword-200",
    "glove-wiki-gigaword-300",
    "word2vec-google-news-300",
)


def find_embeddings(
    name: str,
    wanted: Collection[str],
    *,
    cache: Path | None = None,
    host: str = HOST,
    progress: Progress = silent,
) -> Embeddings:
    """The vectors of the words wanted, from a file or by a published name.

    Parameters
    ----------
    name : str
        A path, or one of :data:`NAMES`; a path that exists wins.
    wanted : collection of str
    cache : Path, optional
        Published files are kept in ``embeddings`` under it; None: nothing is fetched.
    host : str
        Where they are published.
    progress : Progress
        Told of the stage ``"download"`` in bytes.

    Raises
    ------
    DataError
        There is no such file or name, it cannot be fetched, or it cannot be read.
    """
    require_embeddings(name)
    path = expand(name)
    if not path.exists():
        if cache is None:
            raise missing_path(path, what="file of word vectors", also=NAMES)
        path = cache / "embeddings" / f"{name}.gz"
        if not path.is_file():
            download(f"{host}/{name}/{name}.gz", path, progress=progress)
    return read_embeddings(path, wanted)


def require_embeddings(name: str) -> None:
    """Refuse what is neither a file nor a published name, before anything long.

    Raises
    ------
    DataError
    """
    if name not in NAMES and not expand(name).exists():
        raise missing_path(Path(name), what="file of word vectors", also=NAMES)
