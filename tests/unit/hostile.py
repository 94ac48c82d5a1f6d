"""Names that models and layers may have, and what no report may do with them."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = (
    "<script>alert(1)</script>",
    "]]>",
    "<![CDATA[x]]>",
    "x" * 10_000,
    "\u202egnp.exe\u202c \u200f\u061c",
    "\x00\x01\x0b\x1b]0;owned\x07\x1b[2J",
    "\ud800 half \udfff",
    "\ufffe\uffff\U0001ffff",
    "a | b \\| c",
    "`code` ``x``",
    "**bold** _it_ ~~x~~",
    "[link](http://x.example) ![i](x) <http://x.example>",
    "http://x.example www.x.example a@x.example @everyone #12 !3 $4 ~label %5 &6 :smile:",
    "line\nbreak\r\n\n# heading\n- item\n| cell |",
    "&lt;b&gt; &#60; &nbsp",
    "{{ x }} {% x %} ${x} \\frac{1}{2}",
    "\N{SNOWMAN} größe 漢字",
    "",
    " ",
)

names = st.one_of(st.sampled_from(NAMES), st.text(st.characters(), max_size=300))
