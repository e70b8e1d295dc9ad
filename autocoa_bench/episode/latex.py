r"""LaTeX in an answer as plain text: `\textit{Hamlet}` is Hamlet, `Jos\'e` is José."""

import re
import unicodedata
from types import MappingProxyType

_UNWRAPPED = re.compile(
    r"text(?!color|tiny)[a-z]*|math(?!ring)[a-z]*|emph|enquote|smash|boxed|[mhf]box|centerline|bm|pmb"
    r"|(?:under|over)line|uline|(?:frame|make)box|operatorname|ensuremath|boldsymbol|hl|ul"
    r"|(?:Make)?(?:upper|lower)case"
)
"""Commands of fonts and boxes: their argument stands for itself."""
_SECOND = frozenset(["textcolor", "colorbox", "href", "foreignlanguage", "raisebox", "parbox"])
"""Commands whose second argument stands for itself."""
_DROPPED = re.compile(
    r"left|right|[bB]igg?[lr]?|(?:display|text|script)style|limits|bf|it|em|rm|sf|tt|sc|sl"
    r"|(?:bf|md|rm|sf|tt)(?:series|family)|(?:it|sc|sl|up)shape|normal(?:font|size)|tiny|small|large"
    r"|Large|LARGE|huge|Huge|(?:footnote|script)size|centering|noindent|relax|protect|par"
)
"""Commands that show nothing, and have no argument."""
_DROPPED_WITH_ARGUMENT = frozenset(["color", "hspace", "vspace", "label", "phantom"])
_SPACES = frozenset(["quad", "qquad", "space", "enspace", "thinspace", "newline", "linebreak"])
_LETTERS = MappingProxyType(
    {
        **{"ss": "ß", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "aa": "å", "AA": "Å", "ae": "æ"},
        **{"AE": "Æ", "oe": "œ", "OE": "Œ", "i": "ı", "j": "ȷ", "dh": "ð", "DH": "Ð", "th": "þ"},
        **{"TH": "Þ", "dj": "đ", "DJ": "Đ", "ng": "ŋ", "NG": "Ŋ", "circ": "°", "degree": "°"},
        **{"dots": "...", "ldots": "...", "cdots": "...", "textellipsis": "...", "pounds": "£"},
        **{"textendash": "–", "textemdash": "—", "textquoteright": "’", "textquoteleft": "‘"},
        **{"textquotedblleft": "“", "textquotedblright": "”", "textquotesingle": "'"},
        **{"textdegree": "°", "texteuro": "€", "euro": "€", "textsterling": "£", "textyen": "¥"},
        **{"textdollar": "$", "textunderscore": "_", "textasciitilde": "~", "textbackslash": "\\"},
        **{"textbar": "|", "textless": "<", "textgreater": ">", "textampersand": "&"},
        **{"S": "§", "P": "¶", "copyright": "©", "textregistered": "®", "texttrademark": "™"},
    }
)
_ACCENTS = MappingProxyType(
    {
        **{"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303"},
        **{"=": "\u0304", ".": "\u0307", "c": "\u0327", "v": "\u030c", "u": "\u0306"},
        **{"H": "\u030b", "r": "\u030a", "k": "\u0328", "d": "\u0323", "b": "\u0331"},
        **{"acute": "\u0301", "grave": "\u0300", "hat": "\u0302", "ddot": "\u0308"},
        **{"tilde": "\u0303", "breve": "\u0306", "check": "\u030c", "mathring": "\u030a"},
    }
)
"""The combining character of each accent command."""
_SYMBOLS = MappingProxyType(
    {
        **{char: char for char in "&%$#_{}"},
        **dict.fromkeys(" ,;:>\\\n\t", " "),
        **dict.fromkeys("!()[]-/@", ""),
    }
)
_NAME = re.compile(r"[A-Za-z]+")
_FRACTIONS = frozenset(["frac", "dfrac", "tfrac", "cfrac", "nicefrac"])
_ESCAPED_QUOTE = re.compile(r'\\"(?=[^A-Za-z{\\]|$)')
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|\\[,;:!]|\\ )(?=\d{3}(?!\d))")
# Between numbers, a tilde is a range; between commands, it joins their arguments.
_TIE = re.compile(
    r"(?<=[^\W_])([.,]?)~(?=[^\W\d_]|\\[a-zA-Z])|(?<=[^\W_])([.,])~(?=\d)"
    r"|(?<=[^\W\d_])~(?=\d)|(?<=\})~(?=\\)"
)
# A tab or a backspace where a reader of JSON took the start of a command for an escape.
_EATEN = re.compile(r"\t(?=ext(?:bf|it|rm|sf|tt|sc|normal)?\{)|[\x08](?=oxed\s?\{)")
_DOLLAR = re.compile(r"(?<!\\)\$")
_ACCENTED = re.compile(
    r"\s{0,3}(?:\{\s{0,3}\\?([^\W\d_])\s{0,3}\}|\\([ij])(?![A-Za-z])[ ]{0,3}|\\?([^\W\d_]))"
)
_SEVERAL_BLANKS = re.compile(" {2,}")
_PLAIN_RUN = re.compile(r"[^\\{}]+")
_DEPTH = 20
"""The depth of nested groups that is read; what is deeper stays as it is."""


def plain(text: str) -> str:
    """The text without LaTeX: commands of fonts and boxes unwrapped, accents composed, spaces as
    spaces, escaped characters as themselves. Other commands (`\\sqrt`) stay."""
    text = _EATEN.sub(lambda match: "\\t" if match[0] == "\t" else "\\b", text)
    text = _TIE.sub(r"\1\2 ", _without_dollars(text))
    if "\\" not in text and "{" not in text:
        return text
    text = _THOUSANDS.sub(",", text)
    if _ESCAPED_QUOTE.search(text):
        text = text.replace('\\"', '"')  # quotation marks of JSON
    text = _Reader(text).read(0, len(text), 0).replace("^°", "°")
    return _without_dollars(_SEVERAL_BLANKS.sub(" ", text))


def matching_braces(text: str) -> dict[int, int]:
    """The position of the closing brace for that of each opening one that is closed; escaped
    braces count as text."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            closing[opened.pop()] = match.start()
    return closing


def _without_dollars(text: str) -> str:
    """The text without the `$` of formulas; one before a number is a currency."""
    text = text.strip()
    marks = [match.start() for match in _DOLLAR.finditer(text)]
    if not marks:
        return text
    inside = text[marks[0] : marks[-1]]
    enclosed = len(marks) > 1 and (marks[0], marks[-1]) == (0, len(text) - 1)
    if len(marks) % 2 == 0 and (enclosed or any(char in inside for char in "\\^_{")):
        return _DOLLAR.sub("", text).strip()
    if marks[-1] == len(text) - 1:
        text = text[:-1].rstrip()
    return text[1:].lstrip() if marks[0] == 0 and not re.match(r"\$\s?\d", text) else text


class _Reader:
    """Reads LaTeX from left to right; its methods return plain text, or the position after it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.closing = matching_braces(text)
        self.out: list[str] = []

    def read(self, start: int, end: int, depth: int) -> str:
        """The plain text of text[start:end]."""
        if depth > _DEPTH:
            return self.text[start:end]
        outer, self.out = self.out, []
        position = start
        while position < end:
            if run := _PLAIN_RUN.match(self.text, position, end):
                self.out.append(run[0])
                position = run.end()
            elif self.text[position] == "\\":
                position = self._command(position + 1, end, depth)
            elif self.text[position] == "{":
                position = self._group(position, end, depth)
            else:
                self.out.append("}")
                position += 1
        result, self.out = "".join(self.out), outer
        return result

    def _group(self, start: int, end: int, depth: int) -> int:
        """A group of its own: a set keeps its braces, LaTeX's grouping loses them."""
        close = self.closing.get(start)
        if close is None or close >= end:
            self.out.append("{")
            return start + 1
        content = self.text[start + 1 : close]
        before = self.out[-1][-1:] if self.out else ""
        after = self.text[close + 1 : close + 2]
        attached = before.isalnum() or before in ("^", "_") or (before and after.isalnum())
        inner = self.read(start + 1, close, depth + 1)
        if not content.strip() or attached or content.lstrip().startswith("\\"):
            self.out.append(inner.lstrip() if content[:1] == "\\" else inner)
        else:
            self.out.append("{" + inner + "}")
        return close + 1

    def _argument(self, position: int, end: int, depth: int) -> tuple[str | None, int]:
        """The argument in braces and the position after it; None where there is none. One that is
        never closed goes on to the end: the text was cut."""
        at = self._blanks(position, end)
        if at >= end or self.text[at] != "{":
            return None, position
        close = min(self.closing.get(at, end), end)
        return self.read(at + 1, close, depth + 1), min(close + 1, end)

    def _blanks(self, position: int, end: int) -> int:
        while position < end and self.text[position] in " \t\n":
            position += 1
        return position

    def _command(self, position: int, end: int, depth: int) -> int:
        """The command whose name begins at `position`, after its backslash."""
        named = _NAME.match(self.text, position, end)
        if not named:
            return self._symbol(position, end)
        name, after = named[0], named.end()
        if name in _LETTERS:
            self.out.append(_LETTERS[name])
            if name in ("dots", "ldots", "cdots") or self.text[after : after + 1] in ("", "}"):
                return after
            return after + 2 if self.text.startswith("{}", after) else self._blanks(after, end)
        if name in _SPACES:
            self.out.append(" ")
            return after
        if name in _ACCENTS and (accented := self._accented(_ACCENTS[name], after, end)):
            return accented
        if _DROPPED.fullmatch(name) and not self.text.startswith("{", after):
            if name in ("left", "right") and self.text[after : after + 1] == ".":
                return after + 1
            return self._blanks(after, end)
        if _UNWRAPPED.fullmatch(name) or _DROPPED.fullmatch(name):
            after += self.text.startswith("*{", after)
            content, after = self._argument(after, end, depth)
            self.out.append(content or "")
            return after if content is not None else self._blanks(after, end)
        return self._with_arguments(name, after, end, depth)

    def _with_arguments(self, name: str, after: int, end: int, depth: int) -> int:
        """A command of two arguments, or one that is not known and stays."""
        first, next_after = self._argument(after, end, depth)
        if name in _DROPPED_WITH_ARGUMENT:
            return self._blanks(next_after, end)
        if first is not None and name in _FRACTIONS | _SECOND:
            second, last = self._argument(next_after, end, depth)
            if second is not None:
                mixed = " " if self.out and self.out[-1][-1:].isdigit() else ""
                self.out.append(second if name in _SECOND else f"{mixed}{first}/{second}")
                return last
        self.out.append(f"\\{name}" if first is None else f"\\{name}{{{first}}}")
        return next_after

    def _symbol(self, position: int, end: int) -> int:
        """A command of one character that is no letter: an accent, a space, an escaped one."""
        if position >= end:
            return position
        char = self.text[position]
        if char in _ACCENTS and (after := self._accented(_ACCENTS[char], position + 1, end)):
            return after
        self.out.append(_SYMBOLS.get(char, char if char in "\"'`.=^~" else "\\" + char))
        return position + 1

    def _accented(self, accent: str, position: int, end: int) -> int | None:
        """Append the letter at `position` with its accent, where Unicode has one."""
        match = _ACCENTED.match(self.text, position, end)
        if match is None:
            return None
        letter = unicodedata.normalize("NFC", (match[1] or match[2] or match[3]) + accent)
        if len(letter) > 1:
            return None
        self.out.append(letter)
        return match.end()
