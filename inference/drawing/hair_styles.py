"""Guide curves of the hair styles: where the hair leaves the parting and how it falls; frame pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

from inference.drawing.locks import Sheet
from inference.drawing.svg import Point

Guide = list[Point]


@dataclass(frozen=True, slots=True)
class Style:
    """A style's sheets in paint order, its back, and how many locks a sheet is made of."""

    sheets: Sequence[Sheet]
    back: Sequence[Point]  # the left half of the contour behind the neck, top to bottom
    locks: int
    width: float  # of a lock, pixels
    parting: Sequence[Point] = ()
    loose: int = 26  # hairs that stand off the silhouette


def _cut(guide: Guide, end: int, tip: Point) -> Guide:
    """The first ``end`` points of a guide and a last one of its own."""
    return [*guide[:end], tip]


_LEFT: list[Guide] = [
    [(291, 113), (264, 110), (230, 121), (200, 146), (180, 180), (173, 224), (171, 262), (167, 302), (158, 346),
     (147, 394), (152, 452)],
    [(289, 92), (252, 86), (214, 102), (182, 136), (164, 182), (155, 228), (149, 274), (142, 318), (135, 360),
     (131, 408), (138, 466)],
    [(286, 68), (242, 57), (196, 74), (164, 116), (148, 170), (140, 220), (134, 268), (126, 314), (118, 358),
     (115, 406), (126, 460)],
    [(283, 37), (241, 33), (191, 51), (153, 95), (136, 152), (129, 206), (123, 256), (114, 306), (104, 350),
     (100, 398), (112, 444)],
]  # fmt: skip
_RIGHT: list[Guide] = [
    [(291, 113), (311, 117), (330, 140), (342, 178), (345, 222), (346, 262), (350, 304), (357, 348), (363, 396),
     (358, 454)],
    [(289, 92), (325, 90), (349, 122), (360, 168), (364, 216), (367, 262), (372, 308), (378, 350), (380, 400),
     (373, 466)],
    [(286, 68), (332, 63), (360, 98), (373, 148), (378, 200), (381, 250), (387, 300), (394, 346), (397, 398),
     (388, 458)],
    [(283, 37), (324, 42), (361, 73), (383, 126), (391, 184), (394, 236), (400, 288), (409, 336), (412, 388),
     (402, 440)],
]  # fmt: skip
_BACK_LONG: Guide = [(262, 50), (180, 60), (130, 140), (130, 240), (122, 330), (120, 384), (146, 424), (256, 416)]
_BACK_BOB: Guide = [(262, 50), (180, 60), (130, 140), (122, 240), (122, 306), (150, 350), (200, 360), (256, 358)]
_BACK_SHORT: Guide = [(256, 60), (190, 70), (160, 120), (158, 180), (168, 226), (190, 236), (220, 236), (256, 236)]
_PARTING: Guide = [(284, 44), (286, 64), (289, 90), (291, 111)]


def _bob(guides: list[Guide], tips: list[Point]) -> list[Guide]:
    return [
        _cut(guide, 7 if index < 4 else 8, tip) for index, (guide, tip) in enumerate(zip(guides, tips, strict=True))
    ]


_BOB_LEFT = _bob(_LEFT, [(172, 332), (158, 344), (142, 348), (126, 340)])
_BOB_RIGHT = _bob(_RIGHT, [(344, 332), (360, 344), (378, 348), (394, 340)])

_TIED_LEFT: list[Guide] = [
    [(290, 112), (258, 108), (222, 118), (194, 142), (176, 172), (167, 200), (163, 226)],
    [(288, 94), (246, 84), (206, 98), (176, 128), (164, 162), (158, 192), (158, 222)],
    [(286, 72), (240, 58), (198, 74), (170, 110), (156, 150), (153, 188), (157, 218)],
    [(284, 48), (234, 38), (188, 56), (158, 98), (149, 144), (150, 182), (158, 212)],
]
_TIED_RIGHT: list[Guide] = [
    [(291, 112), (310, 114), (330, 134), (341, 166), (347, 198), (349, 226)],
    [(291, 92), (324, 92), (348, 118), (353, 154), (356, 188), (353, 220)],
    [(286, 72), (330, 66), (354, 98), (361, 144), (361, 184), (355, 216)],
    [(284, 48), (330, 42), (360, 80), (368, 134), (366, 178), (356, 210)],
]
# Swept from a low parting on the viewer's right over to the left, short at the temples.
_SHORT_TOP: list[Guide] = [
    [(316, 116), (290, 104), (252, 98), (216, 108), (190, 128), (176, 150)],
    [(318, 100), (286, 82), (246, 76), (208, 88), (180, 112), (168, 140)],
    [(316, 82), (284, 62), (244, 54), (204, 66), (174, 94), (160, 130)],
    [(310, 66), (280, 46), (242, 40), (200, 50), (168, 82), (156, 122)],
]
_SHORT_LEFT: list[Guide] = [
    [(190, 122), (180, 142), (173, 164), (170, 186), (169, 206)],
    [(180, 112), (170, 136), (164, 162), (162, 186), (163, 206)],
    [(170, 104), (160, 132), (156, 160), (155, 184), (158, 204)],
]
_SHORT_RIGHT: list[Guide] = [
    [(316, 112), (330, 126), (338, 150), (341, 178), (343, 206)],
    [(314, 88), (338, 106), (348, 138), (350, 172), (349, 204)],
    [(308, 66), (340, 84), (356, 122), (359, 164), (355, 202)],
]

STYLES: dict[str, Style] = {
    "waves": Style(
        (Sheet(_RIGHT, 0.20, 0.68, 12.0, 2.2), Sheet(_LEFT, 0.235, 1.12, 12.0, 2.2)), _BACK_LONG, 18, 19.0, _PARTING, 30
    ),
    "straight": Style(
        (Sheet(_RIGHT, 0.22, 0.62, 0.8, 1.0), Sheet(_LEFT, 0.25, 1.0, 0.8, 1.0)), _BACK_LONG, 17, 17.0, _PARTING, 18
    ),
    "bob": Style(
        (Sheet(_BOB_RIGHT, 0.26, 0.62, 1.4, 0.9), Sheet(_BOB_LEFT, 0.29, 1.0, 1.4, 0.9)),
        _BACK_BOB,
        15,
        18.0,
        _PARTING,
        18,
    ),
    "tied": Style(
        (Sheet(_TIED_RIGHT, 0.36, 0.62, 0.5), Sheet(_TIED_LEFT, 0.40, 1.0, 0.5)), _BACK_SHORT, 15, 13.0, _PARTING, 16
    ),
    "short": Style(
        (Sheet(_SHORT_RIGHT, 0.35, 0.5), Sheet(_SHORT_LEFT, 0.3, 0.6), Sheet(_SHORT_TOP, 0.42, 1.0, 1.5, 0.9)),
        _BACK_SHORT,
        12,
        13.0,
        (),
        18,
    ),
}
