"""Write store/charsets/joyo.txt and jinmei.txt from Unicode's Unihan database, as Debian's package unicode-data has it.

apt-get download unicode-data && dpkg-deb -x unicode-data_*.deb unihan
python docs/generate_charsets.py unihan
"""

import bz2
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "store" / "charsets"
# What the values are is in https://www.unicode.org/reports/tr38/: a year, or for kJoyoKanji the code point of the
# listed character that this one stands for, which is left out, as it is a common variant of a listed one.
FIELDS = {"joyo": ("kJoyoKanji", r"\d{4}"), "jinmei": ("kJinmeiyoKanji", r"\d{4}(?::U\+[0-9A-F]+)?")}
TITLES = {
    "joyo": "常用漢字, the list of 2010: the characters of Unihan's kJoyoKanji whose value is a year",
    "jinmei": "人名用漢字: the characters of Unihan's kJinmeiyoKanji",
}
WIDTH = 50


def main() -> None:
    """Write both lists."""
    (file,) = Path(sys.argv[1]).rglob("Unihan_OtherMappings.txt.bz2")
    text = bz2.decompress(file.read_bytes()).decode("utf-8")
    version = re.search(r"^# Unicode version: (.+)$", text, re.MULTILINE)
    for name, (field, value) in FIELDS.items():
        codes = re.findall(rf"^U\+([0-9A-F]+)\t{field}\t{value}$", text, re.MULTILINE)
        chars = "".join(chr(code) for code in sorted(int(code, 16) for code in codes))
        lines = [
            f"# {TITLES[name]}",
            f"# From {file.stem} of Unicode {version[1] if version else '?'}; see LICENSE beside it.",
            "# Written by docs/generate_charsets.py.",
            *(chars[start : start + WIDTH] for start in range(0, len(chars), WIDTH)),
        ]
        (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
