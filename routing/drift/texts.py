"""What an answer's text says of drift, as marks without a word of it: a refusal in words, the script, JSON or not.

Phrases are looked for where answers begin: later they may be quoted. They are few and plain, so a rate of them is no
count of refusals; what counts is that it moves. The script is the one of most letters, of as many as are looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from routing.drift.signals import SCRIPTS

BEGINNING: Final = 200
"""Characters in which a refusal is looked for."""
LOOKED_AT: Final = 4_000
"""Characters whose script is looked at."""
LEAST_LETTERS: Final = 10
"""Of which a script is told."""
KANA_PART: Final = 0.1
"""Of the signs of a text, from which on it is Japanese: that has Chinese signs, too."""

TEXT: Final = 1
REFUSES: Final = 2
JSON_ASKED: Final = 4
JSON_INVALID: Final = 8
SCRIPT_BITS: Final = 4
"""From this bit on: the place of the script in `SCRIPTS`, from 1."""

PHRASES: Final = (
    *("i can't help", "i cannot help", "i can't assist", "i cannot assist", "i can't provide", "i cannot provide"),
    *("i can't comply", "i cannot comply", "i can't fulfill", "i cannot fulfill", "i'm unable to", "i am unable to"),
    *("i'm not able to", "i am not able to", "i won't be able to", "i must decline", "i have to decline"),
    *("sorry, but i can", "as an ai language model", "against my guidelines", "can't engage with"),
    *("je ne peux pas vous aider", "je ne peux pas fournir", "je suis désolé, mais", "je ne suis pas en mesure"),
    *("no puedo ayudar", "no puedo proporcionar", "lo siento, pero", "não posso ajudar", "desculpe, mas"),
    *("mi dispiace, ma", "non posso aiutar", "es tut mir leid, aber", "dabei kann ich", "ich kann ihnen dabei nicht"),
    *("я не могу помочь", "извините, но", "к сожалению, я не могу", "抱歉，我", "对不起，我", "我无法", "我不能"),
    *("申し訳ありませんが", "お手伝いできません", "죄송하지만", "도와드릴 수 없", "عذرًا", "لا أستطيع مساعدت"),
)
_refusal: Final = re.compile("|".join(map(re.escape, PHRASES))).search
_fenced: Final = re.compile(r"\s*```(?:json|JSON)?[ \t]*\r?\n(.*?)```\s*", re.DOTALL).fullmatch
_OF: Final[Sequence[re.Pattern[str]]] = [
    re.compile("[A-Za-z\u00aa-\u024f\u1e00-\u1eff]"),
    re.compile("[\u0400-\u052f]"),
    re.compile("[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff]"),
    re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"),
    re.compile("[\u3040-\u30ff]"),
    re.compile("[\u1100-\u11ff\uac00-\ud7af]"),
]
"""In the order of `SCRIPTS`, but for the last, which is all other letters."""
_KANA: Final = SCRIPTS.index("kana")
_HAN: Final = SCRIPTS.index("han")


def marks_of(text: str, *, whole: bool, asks_json: bool) -> int:
    """What is to be known of an answer, or of its beginning where it is not `whole`; 0 of none."""
    if not text.strip():
        return 0
    marks = TEXT | script_of(text) + 1 << SCRIPT_BITS
    if _refusal(text[:BEGINNING].lower().replace("\u2019", "'")):
        marks |= REFUSES
    if asks_json and whole:
        marks |= JSON_ASKED if _is_json(text) else JSON_ASKED | JSON_INVALID
    return marks


def names_of(marks: int) -> list[str]:
    """Those of `routing.drift.signals.COUNTED` that an answer with these marks is."""
    found = []
    for mark, name in ((TEXT, "texts"), (REFUSES, "refusal_phrases"), (JSON_ASKED, "json_asked")):
        if marks & mark:
            found.append(name)
    if marks & JSON_INVALID:
        found.append("json_invalid")
    script = marks >> SCRIPT_BITS
    if 0 < script <= len(SCRIPTS):
        found.append(SCRIPTS[script - 1])
    return found


def script_of(text: str) -> int:
    """The place of its script in `SCRIPTS`; -1 of a text with too few letters."""
    looked_at = text[:LOOKED_AT]
    letters = sum(map(str.isalpha, looked_at))
    if letters < LEAST_LETTERS:
        return -1
    counts = [len(letter.findall(looked_at)) for letter in _OF]
    counts.append(max(0, letters - sum(counts)))
    signs = counts[_KANA] + counts[_HAN]
    if counts[_KANA] > KANA_PART * signs:
        counts[_KANA], counts[_HAN] = signs, 0
    return counts.index(max(counts))


def _is_json(text: str) -> bool:
    """Also within one fence: what models write around it says nothing of whether they still can."""
    fenced = _fenced(text)
    try:
        json.loads(text if fenced is None else fenced[1], parse_constant=_no_number)
    except ValueError:
        return False
    except RecursionError:
        return True  # as deep as that, it was none by accident
    return True


def _no_number(constant: Any) -> NoReturn:
    raise ValueError(constant)
