import random
import time

import pytest

from fscl.code_pages import LANGUAGES, guess
from fscl.zip_names import GUESSED

# Animals and folders, some without a letter beyond ASCII.
WORDS = {
    "cp850": {
        "German": "Füchse Rehe Mäuse Störche Bär Dachs Eichhörnchen Wölfe Kröte Käuzchen Gänse Straße Übersicht",
        "French": "écureuil hérisson fouine lièvre forêt bécasse chevêche genêt février château épervier sanglier",
        "Spanish": "corzo jabalí águila búho cigüeña tejón lince garduña ratón murciélago halcón estación ciervo",
        "Portuguese": "leão macaco pássaro onça-pintada cão javali coração raposa gavião tatu tamanduá mão-pelada",
        "Danish": "rådyr grævling kronhjort ræv mår odder sæl bjørn ørn grågås blåmejse hjort",
        "Swedish": "älg rådjur björn räv grävling varg järv mård bäver tjäder fågel människa",
    },
    "cp852": {
        "Polish": "łoś żubr żbik wilk niedźwiedź jeleń zając borsuk ryś bóbr jeż łasica wiewiórka świstak piżmak",
        "Czech": "ježek liška medvěd srnec kočka daněk králík bobr mýval káně čáp žluna výr",
        "Hungarian": "őz róka vaddisznó nyúl gímszarvas dámszarvas nyest menyét hiúz sün egér mókus",
    },
    "cp866": {"Russian": "лиса волк лось медведь кабан косуля заяц барсук белка рысь соболь куница тигр Птица"},
    "cp949": {
        "Korean": "고라니 노루 멧돼지 너구리 다람쥐 청설모 반달가슴곰 족제비 멧토끼 왜가리 중대백로 삵 담비 수달 "
        "오소리 꿩 원천데이터 라벨링데이터 지리산 국립공원 카메라01 TS_01.고라니 야간 빈사진"
    },
    "cp932": {
        "Japanese": "鹿 狐 猪 狸 熊 猿 穴熊 兎 栗鼠 羚羊 貂 ニホンジカ イノシシ タヌキ キツネ ツキノワグマ "
        "ハクビシン テン きつね たぬき 新しいフォルダー 画像 自動撮影カメラ"
    },
    "gbk": {"Chinese": "赤狐 野猪 梅花鹿 猞猁 雪豹 狍 东北虎 大熊猫 川金丝猴 羚牛 毛冠鹿 小麂 果子狸 新建文件夹"},
}
SAMPLES = [
    (code_page, words.split()) for code_page, languages in WORDS.items() for words in languages.values()
]  # fmt: skip


@pytest.mark.parametrize(("code_page", "words"), SAMPLES)
def test_names_of_one_language_are_read_as_they_were_written(code_page, words):
    drawn = random.Random(0)
    for count in (6, len(words)):
        for _ in range(20):
            names = drawn.sample(words, count)
            stored = [name.encode(code_page) for name in names]
            found = guess(stored, GUESSED)
            assert [name.decode(found.code_page) for name in stored] == names
            assert found.is_plausible


@pytest.mark.parametrize(
    ("code_page", "name"),
    [
        *[("cp850", name) for name in ("Füchse", "Bär", "ÜBERSICHT", "Größe", "hérisson", "jabalí", "cigüeña")],
        *[("cp852", name) for name in ("łasica", "ryś", "żubr", "medvěd", "medveď")],
        *[("cp949", name) for name in ("고라니", "곰", "삵", "새 폴더", "TS_01.고라니.zip")],
        *[("cp932", name) for name in ("鹿", "シカ", "きつね", "表ソ")],
    ],
)
def test_a_single_name_is_enough_where_its_letters_are_telling(code_page, name):
    stored = name.encode(code_page)
    assert stored.decode(guess([stored], GUESSED).code_page) == name


def test_a_language_with_many_marks_is_not_that_of_words_with_few():
    names = ["hérisson", "isard", "août"]  # cp852 would make aoľt of the last
    found = guess([name.encode("cp850") for name in names], GUESSED)
    assert [name.encode("cp850").decode(found.code_page) for name in names] == names


def test_signs_and_boxes_are_not_plausible():
    noise = random.Random(0).randbytes(400).split(b"\0")
    assert not guess(noise, {"cp437": 1.0}).is_plausible
    assert not guess(["고라니".encode("cp949")], {"cp437": 1.0}).is_plausible


def test_none_decodes():
    assert guess([b"\x81"], {"cp1252": 1.0}) is None


def test_each_page_that_is_guessed_has_its_languages():
    assert set(GUESSED) <= set(LANGUAGES)


def test_a_hundred_thousand_names_take_seconds():
    stored = [f"고라니_{number:06}.jpg".encode("cp949") for number in range(100_000)]
    start = time.process_time()
    assert guess(stored, GUESSED).code_page == "cp949"
    assert time.process_time() - start < 8
