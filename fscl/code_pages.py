"""The code page of texts that do not say theirs, guessed: names in zips of Windows, tables of spreadsheets.

Every candidate that decodes all of them is judged by how likely its letters are, in the language that they suit best:
the wrong code page gives letters of several languages, capitals within words, rare syllables, signs and boxes.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import chain, pairwise
from math import log
from typing import NamedTuple, Self

MOST_TEXTS = 1000  # that are judged; more do not change what they are written in
WORD = re.compile(r"[^\W\d_]+")

# The share of a letter in a text. Only the proportions matter, and those roughly.
ASCII = 1 / 30
COMMON, IN_USE, RARE = 1 / 400, 1 / 5000, 1 / 40_000  # a syllable or character of East Asia
HALF_WIDTH = 1 / 200
CAPITAL = 0.2  # of what the small letter has
FOREIGN = 1e-5  # a letter of another language
SIGN = 1e-6
CONTROL = 1e-8
# How likely neighbours are that seldom are any.
OTHER_SCRIPT = 0.01
CAPITAL_WITHIN = 0.02  # a capital after a small letter, where one of them is beyond ASCII

PLAUSIBLE = 2e-4  # the mean share of a letter beyond ASCII below which no candidate is believed

# The letters beyond ASCII of each language, the frequent ones first, and the share of them together.
ALPHABETS = {
    "German": ("üäöß", 0.02),
    "French": ("éèàêçâîôûïëùœüÿæ", 0.035),
    "Spanish": ("óíáñéúü", 0.025),
    "Portuguese": ("ãçáéóíêâõúôà", 0.04),
    "Italian": ("àìèùòé", 0.02),
    "Catalan": ("àóèçíéïúüò", 0.03),
    "Polish": ("łąęóżśćńź", 0.07),
    "Czech": ("íáéěýřžčšůúťóďň", 0.14),
    "Slovak": ("áíéčýžšúľťôóďňäŕĺ", 0.12),
    "Hungarian": ("éáőöóüíúű", 0.11),
    "Romanian": ("ăîâșțşţ", 0.07),
    "South Slavic": ("čšžćđ", 0.04),
    "Swedish": ("äåöé", 0.045),
    "Danish": ("øæåé", 0.03),
    "Turkish": ("ışüğöçİâ", 0.1),
    "Estonian": ("äõüöšž", 0.01),
    "Latvian": ("āīēšņļķčžūģ", 0.09),
    "Lithuanian": ("ėšžųūąčįę", 0.07),
    "Russian": ("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", 0.6),
    "Ukrainian": ("оанитвріелксдмпуязьбгйчхцжїюшщєфґ", 0.6),
    "Greek": ("ατοισενηρπκμλςυάίόγδώέήύθχφβωξζψϊ", 0.6),
}
# Those of animals, places and folders.
HANGUL = (
    "가각간갈감강개거건검게겨경계고곡골곰공과관광교구국군굴궁권귀그근금급기길김까꽃꾸꿩나난날남내너네노녹논농누눈"
    "느는능늑니다단달담당대더덕데도독동되두둘뒤드득든들등디따때떼라락란람랑래러레려력로록론료루류르른를름리린림"
    "립마막만말망매맹머먼메면멧명모목몰무문물미민밀바박반발방배백뱀버번벌범베벼변별병보복본봉부북분불붉비빈빛사"
    "산살삵상새색생서석선설성세소속손솔송쇠수순슴승시식신실심쌍쑥쓰아악안알암앙애야약양어언얼업에여역연열염영예"
    "오옥온올와왕외요용우운울원월위유육으은을음응의이인일임입자작잔잠장재저적전절점정제조족종주죽준중쥐지진집찌"
    "차참창채처천철청체초촌총추축출충취치칠침카칼캠코콩크큰타탐탑태터토통투트특티파판팔평포표푸품풀프피하학한할"
    "함합항해향허헌현협형호홍화환활황회효후훈흑흰히"
)
HAN = (
    "鹿狐狸猪狼熊虎豹兔猴鸟鸡鸭鹰猫狗獾鼠松羊牛马野梅花雪赤金丝羚麝狍獐貂鼬刺猬鹤鸮雉獭豪黑白红灰大小水山林河湖"
    "相机照片视频红外动物保护区站号点位样地数据年月日东南西北上中下人空其他未知原始图像训练测试验证集类别"
    "猪兎猿鳥犬鶏鷹鴨馬動物写真画像撮影自動新市県區貓鷺龜鼬獼猴豬鳥雞縣國家公園照片紅外線相機樣區"
)


class Guess(NamedTuple):
    """A code page, and whether what it gives reads like words."""

    code_page: str
    is_plausible: bool


class _Language(NamedTuple):
    """The shares of the letters beyond ASCII, and of those of ASCII together in its words.

    `others` judges the letters of East Asia: a narrow code page of them, and its last lead byte of those in use.
    """

    shares: dict[str, float]
    others: tuple[str, int] | None = None
    plain: float = 1.0

    @classmethod
    def of_alphabet(cls, letters: str, together: float) -> Self:
        """By Zipf's law: the second letter is half as frequent as the first."""
        total = sum(1 / rank for rank in range(1, len(letters) + 1))
        shares = {letter: together / rank / total for rank, letter in enumerate(letters, 1)}
        return cls(shares, plain=1 - together)

    def share(self, letter: str) -> float:
        small = letter.lower()
        if small in self.shares:
            return self.shares[small] * (1.0 if letter == small else CAPITAL)
        if self.others is not None:
            return _in_east_asia(letter, *self.others)
        if letter.isalpha():
            return FOREIGN
        return CONTROL if unicodedata.category(letter).startswith("C") else SIGN

    def likelihood(self, letters: Mapping[str, int], plain: int) -> float:
        """How likely the letters beyond ASCII and those of ASCII beside them are, as a logarithm."""
        return sum(count * log(self.share(letter)) for letter, count in letters.items()) + plain * log(self.plain)


_OF_ALPHABETS = {language: _Language.of_alphabet(*alphabet) for language, alphabet in ALPHABETS.items()}
WEST = ("German", "French", "Spanish", "Portuguese", "Italian", "Catalan", "Swedish", "Danish")
CENTRE = ("Polish", "Czech", "Slovak", "Hungarian", "Romanian", "South Slavic", "German")
# Which languages are written in a code page. The narrow ones of East Asia have what is in use before what is rare.
LANGUAGES = {
    "cp949": (_Language(dict.fromkeys(HANGUL, COMMON), ("euc_kr", 0xC8)),),
    "cp932": (_Language(dict.fromkeys(HAN, COMMON), ("shift_jis", 0x98)),),
    "gbk": (_Language(dict.fromkeys(HAN, COMMON), ("gb2312", 0xD7)),),
    "big5": (_Language(dict.fromkeys(HAN, COMMON), ("big5", 0xC6)),),
    **{
        code_page: tuple(_OF_ALPHABETS[language] for language in languages)
        for code_pages, languages in (
            (("cp437", "cp850", "cp865", "cp1252"), WEST),
            (("cp852", "cp1250"), CENTRE),
            (("cp857", "cp1254"), ("Turkish", "German")),
            (("cp775", "cp1257"), ("Estonian", "Latvian", "Lithuanian", "German")),
            (("cp866", "cp1251"), ("Russian", "Ukrainian")),
            (("cp737", "cp1253"), ("Greek",)),
        )
        for code_page in code_pages
    },
}


def guess(texts: Iterable[bytes], code_pages: Mapping[str, float]) -> Guess | None:
    """Return the code page that suits all texts best, the first of those that give the same; None where none decodes.

    Args:
        texts: such as the parts of file names; those in ASCII say nothing.
        code_pages: by the names that Python has for them, how usual each is (any measure).

    >>> pages = {"cp949": 1.0, "cp850": 1.0, "cp1252": 0.1}
    >>> guess(["Füchse".encode("cp850"), "Störche".encode("cp850")], pages)
    Guess(code_page='cp850', is_plausible=True)
    >>> guess(["고라니".encode("cp949")], pages).code_page
    'cp949'
    """
    telling = list(dict.fromkeys(text for text in texts if not text.isascii()))
    judged = telling[:: 1 + len(telling) // MOST_TEXTS]
    best, most = None, float("-inf")
    for code_page, usual in code_pages.items():
        if (decoded := _decoded(telling, judged, code_page)) is not None:
            total, mean = _likelihood(decoded, code_page)
            if best is None or total + log(usual) > most:
                best, most = Guess(code_page, mean >= log(PLAUSIBLE)), total + log(usual)
    if best is None:
        return None
    suited = _decoded(telling, telling, best.code_page)
    alike = (code_page for code_page in code_pages if _decoded(telling, telling, code_page) == suited)
    return best._replace(code_page=next(alike))


def _decoded(texts: list[bytes], wanted: list[bytes], code_page: str) -> list[str] | None:
    """Those wanted as text; None where not all texts are in the code page."""
    try:
        for text in texts:
            text.decode(code_page)
    except UnicodeDecodeError:
        return None
    return [text.decode(code_page) for text in wanted]


def _likelihood(texts: list[str], code_page: str) -> tuple[float, float]:
    """How likely texts are in the language that suits best, as logarithms: together, and by letter beyond ASCII."""
    letters = Counter(chain.from_iterable(texts))
    beyond = {letter: count for letter, count in letters.items() if not letter.isascii()}
    in_ascii = sum(  # counted, since code pages of two bytes a letter take some of them for halves
        count * log(ASCII * (CAPITAL if letter.isupper() else 1))
        for letter, count in letters.items()
        if letter.isascii()
    )
    marked = (word for text in texts for word in WORD.findall(text) if not word.isascii())
    plain = sum(letter.isascii() for word in marked for letter in word)
    suited = max(language.likelihood(beyond, plain) for language in LANGUAGES[code_page])
    neighbours = Counter(chain.from_iterable(map(pairwise, texts)))
    unlikely = sum(count * log(_beside(*pair)) for pair, count in neighbours.items())
    return in_ascii + suited + unlikely, suited / max(sum(beyond.values()), 1)


def _beside(first: str, second: str) -> float:
    """How likely two letters are as neighbours, 1 for most."""
    if first.isascii() and second.isascii():
        return 1.0
    scripts = {_script(first), _script(second)} - {None}
    if len(scripts) > 1 and scripts != {"kana", "han"}:
        return OTHER_SCRIPT
    return CAPITAL_WITHIN if first.islower() and second.isupper() else 1.0


@cache
def _script(letter: str) -> str | None:
    """The script of a letter; None for signs, digits and marks, which go with all."""
    if not letter.isalpha():
        return None
    if letter.isascii():
        return "latin"
    first = unicodedata.name(letter, "NAMELESS").split()[0]
    if first in ("KATAKANA", "HIRAGANA", "HALFWIDTH", "KATAKANA-HIRAGANA"):
        return "kana"
    return "han" if first in ("CJK", "IDEOGRAPHIC") else first.lower()


@cache
def _in_east_asia(letter: str, narrow: str, last_in_use: int) -> float:
    """The share of a syllable or character by its place in a code page that has no others than those known."""
    try:
        place = letter.encode(narrow)
    except UnicodeEncodeError:
        return SIGN
    if len(place) == 1:  # katakana of half width
        return HALF_WIDTH if letter.isalpha() else SIGN
    if len(place) > 2 or not letter.isalpha():  # a syllable put together from its letters: of no word
        return SIGN
    if _script(letter) == "kana":
        return COMMON
    if _script(letter) not in ("hangul", "han"):
        return FOREIGN
    single = letter < "\u4e00"  # a letter of Hangul that is not put into a syllable
    return RARE if single or place[0] > last_in_use else IN_USE
