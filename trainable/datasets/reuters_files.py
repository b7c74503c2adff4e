"""The two layouts in which Reuters-21578 travels, read into the same documents.

SGML: the original distribution, 22 files `reut2-000.sgm` .. `reut2-021.sgm`, latin-1.
NLTK: `cats.txt` (lines `training/1 cocoa`), `training/ID`, `test/ID`; its copy of the text has
capitals after full stops, otherwise the words are the same.

The text of a document, in both: title, a space, body; entities resolved, control characters and
runs of white space turned into one space, the agency's closing "Reuter" dropped (NLTK's copy has
none). Dateline and author stay out, as in NLTK. A document without TITLE and BODY (UNPROC) gives
all of its text.
"""

import html
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final, Literal, NamedTuple

from trainable.datasets.assemble import name_some
from trainable.datasets.containers import Container
from trainable.errors import UsageError

SGML_FILES: Final = tuple(f"reut2-{number:03}.sgm" for number in range(22))

_DOCUMENT = re.compile(r"<REUTERS\b([^>]*)>(.*?)</REUTERS>", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_TOPICS = re.compile(r"<TOPICS>(.*?)</TOPICS>", re.DOTALL)
_TOPIC = re.compile(r"<D>(.*?)</D>")
_TEXT = re.compile(r"<TEXT[^>]*>(.*?)</TEXT>", re.DOTALL)
_TITLE = re.compile(r"<TITLE>(.*?)</TITLE>", re.DOTALL)
_BODY = re.compile(r"<BODY>(.*?)</BODY>", re.DOTALL)
_TAG = re.compile(r"</?[A-Z]+[^>]*>")
_CONTROL_ENTITY = re.compile(r"&#(?:[0-9]|[12][0-9]|3[01]|127);")
_ENTITY = re.compile(r"&(?:#\d+|[A-Za-z]+);")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SIGN_OFF = re.compile(r"\s*\breuter\s*\Z", re.IGNORECASE)


class ReutersDocument(NamedTuple):
    """One document of the TRAIN or TEST part that has topics; `topics` sorted and distinct."""

    number: int
    part: Literal["train", "test"]
    text: str
    topics: tuple[str, ...]


def read_layout(files: Container) -> list[ReutersDocument] | None:
    """The documents in `files`, in no particular order; None if it has neither layout.

    Raises:
        UsageError: a layout that is incomplete or cut off.
    """
    by_name = {PurePosixPath(name).name: name for name in files.names}
    if any(name in by_name for name in SGML_FILES):
        return list(_read_sgml(files, by_name))
    if "cats.txt" in by_name:
        return list(_read_nltk(files, by_name["cats.txt"]))
    return None


def clean_text(text: str) -> str:
    r"""The stated form of one piece of text (see the module's docstring).

    >>> clean_text("&#2;  Prices of  &lt;ABC> rose.\n Reuter\n&#3;")
    'Prices of <ABC> rose.'
    """
    text = _CONTROL_ENTITY.sub(" ", text)
    # only well-formed entities: `S&PARA` is no pilcrow
    text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    text = " ".join(_CONTROL.sub(" ", text).split())
    return _SIGN_OFF.sub("", text)


def _read_sgml(files: Container, by_name: dict[str, str]) -> Iterator[ReutersDocument]:
    absent = [name for name in SGML_FILES if name not in by_name]
    if absent:
        raise UsageError(
            f"--data '{files.path}' must hold all 22 SGML files of Reuters-21578, "
            f"but lacks {name_some(absent)}: copy the distribution again"
        )
    for name in SGML_FILES:
        content = files.read(by_name[name]).decode("latin-1")
        opened, closed = content.count("<REUTERS"), content.count("</REUTERS>")
        if opened != closed or not opened:
            raise UsageError(
                f"--data '{files.path}': {name} is cut off ({opened} documents begin, "
                f"{closed} end): copy the distribution again"
            )
        for match in _DOCUMENT.finditer(content):
            document = _parse_sgml(match[1], match[2])
            if document is not None:
                yield document


def _parse_sgml(attributes: str, content: str) -> ReutersDocument | None:
    values = dict(_ATTRIBUTE.findall(attributes))
    split = values.get("LEWISSPLIT")
    if values.get("TOPICS") != "YES" or split not in ("TRAIN", "TEST"):
        return None
    topics = _TOPICS.search(content)
    return ReutersDocument(
        number=int(values["NEWID"]),
        part="train" if split == "TRAIN" else "test",
        text=_sgml_text(content),
        # 5467 and 19918 list a topic twice
        topics=tuple(sorted(set(_TOPIC.findall(topics[1])))) if topics else (),
    )


def _sgml_text(content: str) -> str:
    found = _TEXT.search(content)
    text = found[1] if found else ""
    parts = [match[1] for match in (_TITLE.search(text), _BODY.search(text)) if match]
    return clean_text(" ".join(parts) if parts else _TAG.sub(" ", text))


def _read_nltk(files: Container, cats_name: str) -> Iterator[ReutersDocument]:
    root = cats_name.removesuffix("cats.txt")
    present = set(files.names)
    for line_number, line in enumerate(files.read(cats_name).decode("latin-1").splitlines(), 1):
        if not line.strip():
            continue
        name, *topics = line.split()
        part, _, number = name.partition("/")
        if part not in ("training", "test") or not number.isdecimal():
            raise UsageError(
                f"--data '{files.path}': cats.txt line {line_number} must begin with "
                f"training/NUMBER or test/NUMBER, got '{name}'"
            )
        if root + name not in present:
            raise UsageError(
                f"--data '{files.path}': cats.txt line {line_number} names {name}, "
                "which is missing: copy or download it again"
            )
        yield ReutersDocument(
            number=int(number),
            part="train" if part == "training" else "test",
            text=clean_text(files.read(root + name).decode("latin-1")),
            topics=tuple(sorted(set(topics))),
        )
