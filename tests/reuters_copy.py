"""An invented corpus in the two layouts in which Reuters-21578 travels. None of its text is here.

Documents cycle over the topics `apples`, `pears` and `plums`; `quinces` is in every 50th training
document and some test documents. `ghost` is in training only, so the rules drop it.
"""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SGML_NAMES = tuple(f"reut2-{n:03}.sgm" for n in range(22))
TRAIN, TEST = 1_100, 66
_CYCLE = ("apples", "pears", "plums")


class Invented(NamedTuple):
    number: int
    part: str
    topics: tuple[str, ...]
    title: str
    body: str

    @property
    def text(self) -> str:
        """What a loader has to make of it."""
        return f"{self.title} {' '.join(self.body.split())}".strip()


def invented(train: int = TRAIN, test: int = TEST) -> list[Invented]:
    """Training documents have odd numbers, test documents even ones."""
    documents = []
    for n in range(train):
        topics = (_CYCLE[n % 3], *(["quinces"] if n % 50 == 0 else []))
        body = f"The orchard of row {n} gave\nmore fruit.\n    Baskets left by cart {n % 7}."
        documents.append(Invented(2 * n + 1, "train", topics, f"HARVEST NOTE {n}", body))
    for n in range(test):
        topics = (_CYCLE[n % 3], *(["quinces"] if n % 20 == 0 else []))
        documents.append(Invented(2 * n + 2, "test", topics, f"MARKET NOTE {n}", f"Sold {n}."))
    return documents


def sgml(document: Invented, *, split: str | None = None, has_topics: str = "YES") -> str:
    split = split or document.part.upper()
    topics = "".join(f"<D>{topic}</D>" for topic in document.topics)
    return (
        f'<REUTERS TOPICS="{has_topics}" LEWISSPLIT="{split}" CGISPLIT="TRAINING-SET" '
        f'OLDID="{document.number + 9}" NEWID="{document.number}">\n'
        f"<DATE> 1-JAN-2001 10:00:00.00</DATE>\n<TOPICS>{topics}</TOPICS>\n"
        "<PLACES><D>nowhere</D></PLACES>\n<UNKNOWN>\n&#5;&#5;&#5;C\n</UNKNOWN>\n"
        f"<TEXT>&#2;\n<TITLE>{document.title}</TITLE>\n<DATELINE>    NOWHERE, Jan 1 - </DATELINE>"
        f"<BODY>{document.body}\n Reuter\n&#3;</BODY></TEXT>\n</REUTERS>\n"
    )


def sgml_files(
    documents: list[Invented], extra: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """The 22 files; `extra` appends raw SGML to some of them."""
    parts = {name: ['<!DOCTYPE lewis SYSTEM "lewis.dtd">\n'] for name in SGML_NAMES}
    for place, document in enumerate(reversed(documents)):
        parts[SGML_NAMES[place % 22]].append(sgml(document))
    for name, text in (extra or {}).items():
        parts[name].append(text)
    files = {name: "".join(texts).encode("latin-1") for name, texts in parts.items()}
    return {"README.txt": b"invented", **files}


def nltk_files(documents: list[Invented]) -> dict[str, bytes]:
    files = {"README": b"invented"}
    lines = []
    for document in documents:
        name = f"{'training' if document.part == 'train' else 'test'}/{document.number}"
        body = document.body.replace("\n", "\n  ")
        files[name] = f"{document.title}\n  {body}\n  \n\n".encode("latin-1")
        lines.append(" ".join([name, *document.topics]))
    # as in NLTK's package: in string order, not in numeric order
    files["cats.txt"] = ("\n".join(sorted(lines)) + "\n").encode()
    return files


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_tar(path: Path, files: Mapping[str, bytes], prefix: str = "./") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_zip(path: Path, files: Mapping[str, bytes], prefix: str = "reuters/") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if prefix:
            archive.writestr(prefix, "")
        for name, content in files.items():
            archive.writestr(prefix + name, content)
    return path
