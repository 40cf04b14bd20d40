"""The text that the zoo's models learn from: which documents of the shared corpus, and why these.

A model is given away with the package, so only parts count whose terms allow that:

- novels published by 1928, in the public domain in the US, by authors who died by 1955, so that life + 70 years is
  over too;
- speeches of US presidents (State of the Union, inaugural), in the public domain;
- MASC, free of restrictions on use and redistribution (http://www.anc.org/MASC/About.html).

Product reviews (`pros_cons`) are left out: the project's demo is scored on them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xautolm.errors import DataError

DEFAULT_CORPUS = Path("../shared/data/corpus")
#: Parts of the corpus that are used, with what a model card says about them.
PARTS = {
    "novel": "English novels published by 1928 (public domain), github.com/computationalstylistics/100_english_novels",
    "state_union": "State of the Union addresses, 1946-2006 (public domain), from NLTK",
    "inaugural": "inaugural addresses of US presidents, 1793-2021 (public domain), from NLTK",
    "masc": "MASC, American English since 1990 (free of restrictions on use and redistribution), from NLTK",
}
#: Forster died in 1970; every other author of the corpus had died by 1941.
PROTECTED_AUTHORS = ("novel:Forster_",)
#: Held out and short: a copy of it is among the tests, which measure its perplexity again.
ADDRESS = "inaugural:1949-Truman"
#: Held out, and from elsewhere: Wikipedia, with its rare words already replaced by `<unk>`. Only scored.
WIKITEXT = "wikitext2_test"


@dataclass(frozen=True, slots=True)
class Document:
    """One document.

    Attributes:
        name: `part:title` of the corpus' table of contents.
        text: paragraphs, one per line.
    """

    name: str
    text: str

    @property
    def part(self) -> str:
        """The part of the corpus it belongs to."""
        return self.name.partition(":")[0]


def is_free(name: str) -> bool:
    """Whether a document may be learned from.

    >>> is_free("novel:Hardy_Jude_1895"), is_free("novel:Forster_View_1908"), is_free("pros_cons:IntegratedPros")
    (True, False, False)
    """
    return name.partition(":")[0] in PARTS and not name.startswith(PROTECTED_AUTHORS)


def read_corpus(folder: Path, split: str) -> list[Document]:
    """The free documents of a split.

    Args:
        folder: holds `contents.json` and `<split>.txt.gz` with empty lines between documents.
        split: `train` or `validation`.

    Raises:
        DataError: files are missing, or text and table of contents do not match.
    """
    names = json.loads(_existing(folder / "contents.json").read_text(encoding="utf-8"))[split]
    texts = read_text(folder, split).strip("\n").split("\n\n")
    if len(texts) != len(names):
        raise DataError(
            f"expected {len(names)} documents in `{split}.txt.gz` as `contents.json` lists them, found {len(texts)}; "
            f"copy the corpus to `{folder}` again"
        )
    pairs = zip(names, texts, strict=True)
    return [Document(name, text) for name, text in pairs if is_free(name)]


def read_text(folder: Path, name: str) -> str:
    """A file of the corpus.

    Raises:
        DataError: it is not there.
    """
    with gzip.open(_existing(folder / f"{name}.txt.gz"), "rt", encoding="utf-8") as file:
        return file.read()


def count_bytes(documents: Iterable[Document]) -> dict[str, int]:
    """Bytes of UTF-8 per part.

    >>> count_bytes([Document("masc:a", "é"), Document("masc:b", "ab"), Document("novel:c", "c")])
    {'masc': 4, 'novel': 1}
    """
    sizes: dict[str, int] = {}
    for document in documents:
        sizes[document.part] = sizes.get(document.part, 0) + len(document.text.encode())
    return sizes


def paragraphs(documents: Sequence[Document]) -> list[str]:
    """All paragraphs, in order."""
    return [line for document in documents for line in document.text.split("\n") if line]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataError(
            f"expected the corpus file `{path}`, found none; name the folder that holds it with `--corpus` "
            "(data of the project, not part of the repository)"
        )
    return path
