import unicodedata

import pytest

from fscl.manifest.names import tidy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[(text, "roe deer") for text in (" roe deer ", "roe  deer", "roe\u00a0deer", "roe\tdeer", "roe\n deer")],
        *[(text, "roe deer") for text in ("roe\u3000deer", "roe\u2009deer", "roe deer\u200b", "\ufeffroe deer")],
        *[("Fu\u0308chse", "Füchse"), (unicodedata.normalize("NFD", "고라니"), "고라니"), ("u\u200b\u0308", "ü")],
        *[(text, text) for text in ("", "001", "1.0", "Fox", "roe_deer", "deer, roe", "🦊", "x" * 300)],
        *[(text, "") for text in (" ", "\u200b", "\u00a0\u3000")],
    ],
)  # fmt: skip
def test_a_name_has_one_form(text, expected):
    assert tidy(text) == expected
    assert tidy(tidy(text)) == tidy(text)
