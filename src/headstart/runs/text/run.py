"""A finished run on texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.errors import DataError
from headstart.runs.run import Prediction, Run
from headstart.runs.text.model import TextModel, read_text_model

N_AT_ONCE = 256


class TextRun(Run):
    """A run folder of texts, opened; see :class:`headstart.runs.run.Run`.

    It predicts texts where that of images predicts files. What needs images says so.

    Parameters
    ----------
    folder : Path
        As written by :func:`headstart.fit`.

    Raises
    ------
    RunError
        The folder is no run, is damaged, or comes from a newer version.
    """

    model: TextModel

    def _read_model(self) -> TextModel:
        return read_text_model(self.folder / "model")

    def require_images(self) -> None:
        """Refuse: there are none."""
        self.model.load_backbone()

    def iter_predict(
        self, paths: Sequence[Path | str] | Path | str, *, top: int = 5
    ) -> Iterator[Prediction]:
        """Classify texts, in order; a prediction's name is its text.

        An empty text has its ``error`` set.
        """
        listed = [paths] if isinstance(paths, str | Path) else list(paths)
        yield from self.predict_texts([str(text) for text in listed], top=top)

    def predict_table(
        self, path: Path, *, column: str | None = None, top: int = 5
    ) -> Iterator[Prediction]:
        """Classify a column of a table; a prediction's name is the row's place.

        Parameters
        ----------
        path : Path
            CSV, TSV, JSON lines or Parquet.
        column : str, optional
            Default: the one that the run was fitted on, else one with a usual name.
        top : int

        Raises
        ------
        DataError
            The table cannot be read, or has no such column.
        """
        from headstart.data.tables import find_column
        from headstart.data.texttables import TEXT_NAMES, read_texts

        if not path.is_file():
            raise DataError(f"no such table of texts: {path}. Check the path.")
        table = read_texts(path)
        own = self.metrics["data"].get("text_column")
        asked = column or (own if own in table.header else None)
        at = find_column(table, asked, TEXT_NAMES, "text", "--text")
        yield from self.predict_texts(table.column(at), names=table.places, top=top)

    def predict_texts(
        self, texts: Sequence[str], *, names: Sequence[str] | None = None, top: int = 5
    ) -> Iterator[Prediction]:
        """Like :meth:`iter_predict`, with names of one's own."""
        called = list(texts) if names is None else list(names)
        for start in range(0, len(texts), N_AT_ONCE):
            part = [text.strip() for text in texts[start : start + N_AT_ONCE]]
            P = self.model.of_texts(part)
            for name, text, p in zip(called[start:], part, P, strict=False):
                if not text:
                    yield Prediction(name=name, error="the text is empty")
                else:
                    yield Prediction(name=name, top=self._top(p, top))
