"""One file of the page with one network in it: the built page, and recorded answers in the place of the server.

The answers are those of `documents`, by the addresses that the page asks for. The arithmetic of every layer is always
in the file, in both languages if they fit; then as many feature maps of one image as the size allows.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from convatlas.errors import ConvAtlasError, LimitError
from convatlas.explorer.documents import document
from convatlas.explorer.images import Picture
from convatlas.explorer.query import Query
from convatlas.explorer.server import static_files
from convatlas.explorer.session import Session
from convatlas.explorer.subjects import Subject
from convatlas.http.answers import finite
from convatlas.i18n import LANGUAGES, in_language, language

if TYPE_CHECKING:
    from convatlas.arithmetic.records import LayerRow

DEFAULT_LIMIT = 5_000_000  # bytes of the file
MAP_PIXELS = (2048, 4096, 8192, 16384, 32768, 65536)  # of all maps of a layer together; the largest that fits is taken
ADDRESS = 200  # bytes of an answer's address, at most
DIGITS = 5  # significant ones of the statistics of maps
HEATS = 8  # layers whose Grad-CAM is recorded
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; base-uri 'none'; form-action 'none'"
)
UNCHANGED_BY_ENCODING = "-_.!~*'()"  # what JavaScript's encodeURIComponent leaves as it is, besides letters and digits

Progress = Callable[[str], None]


class Recording:
    """Answers by address, within a size.

    Args:
        most: bytes of all answers together, as they are written into the file.
    """

    def __init__(self, session: Session, most: int) -> None:
        self.session, self.most = session, most
        self.answers: dict[str, Any] = {}
        self.size = len("{}")

    def add(self, name: str, languages: Iterable[str] = LANGUAGES, **parameters: str) -> bool:
        """Record a document in these languages, once where it is the same in all. Returns False if it does not fit."""
        made: dict[str, Any] = {}
        for each in languages:
            with in_language(each):
                answer = document(self.session, name, Query(parameters))
            if answer not in made.values():
                made[each] = answer
        return self.put(name, made, parameters)

    def put(self, name: str, made: Mapping[str, Any], parameters: Mapping[str, str]) -> bool:
        """Record answers that were made, by their language. Returns False if they do not fit."""
        found = {address(name, {**parameters, "lang": each}): answer for each, answer in made.items()}
        size = len(as_json(found)) - len("{}") + 1
        if self.size + size > self.most:
            return False
        self.answers |= found
        self.size += size
        return True


def address(name: str, parameters: Mapping[str, str]) -> str:
    """The address as the page writes it (``address`` in web/src/lib/api.ts)."""
    query = "&".join(f"{key}={quote(value, safe=UNCHANGED_BY_ENCODING)}" for key, value in sorted(parameters.items()))
    return f"api/{name}?{query}"


def saved_page(
    session: Session, subject: Subject, image: Picture, limit: int = DEFAULT_LIMIT, progress: Progress | None = None
) -> bytes:
    """The page as one HTML file that works without a server.

    Args:
        subject: of the session; the one network in the file.
        image: of the session, whose maps are in the file.
        limit: bytes of the file.
        progress: called with the name of what is recorded.

    Raises:
        LimitError: the arithmetic of the network alone is larger than ``limit``.
        ConvAtlasError: the network cannot be counted.
    """
    frame = len(html({}))
    tell = progress or (lambda text: None)
    recording = Recording(session, limit - frame)
    for languages in (LANGUAGES, (language(),)):
        if _arithmetic(recording, subject, image, languages):
            break
        recording = Recording(session, limit - frame)
    else:
        raise LimitError(
            "the layers of {network} do not fit into a file of {limit}. Allow more, such as --save-limit 20MB.",
            network=subject.id,
            limit=f"{limit / 1e6:g} MB",
        )
    _on_image(recording, subject, image, languages, tell)
    return html(recording.answers)


def usual_image(session: Session, subject: Subject) -> Picture:
    """The first image of the session; a grey one for a network that reads grey images, where there is one."""
    pictures = session.pictures.all()
    if subject.summary().inputs[0][0] == 1 and not session.pictures.chosen:
        return next((each for each in pictures if each.read(None).shape[2] == 1), pictures[0])
    return pictures[0]


def _arithmetic(recording: Recording, subject: Subject, image: Picture, languages: Iterable[str]) -> bool:
    """Record the network and all its layers. Returns False if they do not fit."""
    made = {}
    for each in languages:
        with in_language(each):
            whole = recording.session.to_dict()
            made[each] = {**whole, "subjects": [subject.to_dict()], "images": [image.to_dict()], "runs": False}
    if not (recording.put("session", made, {}) and recording.add("network", languages, subject=subject.id)):
        return False
    network = document(recording.session, "network", Query({"subject": subject.id}))
    names = [row["name"] for row in network["rows"]] + [block["path"] for block in network["blocks"]]
    return all(recording.add("layer", languages, subject=subject.id, layer=name) for name in dict.fromkeys(names))


def _on_image(recording: Recording, subject: Subject, image: Picture, languages: Iterable[str], tell: Progress) -> None:
    """Record what the network makes of the image, as far as it fits; nothing for a network that cannot run."""
    parameters = {"subject": subject.id, "image": image.id}
    recording.add("methods", languages)
    if not _try(lambda: recording.add("prepared", languages, **parameters)):
        return
    _try(lambda: recording.add("predict", languages, **parameters))
    _try(lambda: recording.add("times", LANGUAGES[:1], subject=subject.id))  # without text to translate
    rows = subject.summary().rows
    filters = next((row.name for row in rows if row.kind == "conv"), None)
    if filters is not None:
        _try(lambda: recording.add("filters", languages, subject=subject.id, layer=filters))
    chosen = telling_rows(rows)
    _try(functools.partial(_heats, recording, parameters, chosen, tell))
    _maps(recording, subject, image, chosen, tell)
    for name in chosen:
        output = subject.summary()[name].output
        at = ("0", str(output[1] // 2), str(output[2] // 2)) if len(output) == 3 else ("0", "0", "0")
        place = dict(zip(("channel", "y", "x"), at, strict=True))
        _try(functools.partial(recording.add, "window", languages, layer=name, **place, **parameters))


def _heats(recording: Recording, parameters: Mapping[str, str], chosen: list[str], tell: Progress) -> bool:
    """Record Grad-CAM of the last layers, first of the one that it uses by itself. Returns False once one does not fit.

    Raises:
        UsageError: the network has no classes, or no spatial map.
    """
    session = recording.session
    subject = session.subjects[parameters["subject"]]
    last = session.bench.forward(subject, session.pictures[parameters["image"]]).last_spatial_row()
    heats = [name for name in chosen if len(subject.summary()[name].output) == 3][-HEATS:]
    for name in dict.fromkeys((last, *reversed(heats))):
        tell(name)
        if not recording.add("attribution", LANGUAGES[:1], method="grad_cam", layer=name, **parameters):
            return False  # its document has no text to translate
    return True


def _try(record: Callable[[], bool]) -> bool:
    """Whether a document could be made; one that needs classes cannot, for a network that has none."""
    try:
        record()
    except ConvAtlasError:
        return False
    return True


def telling_rows(rows: Iterable[LayerRow]) -> list[str]:
    """The rows whose maps are worth the space: with a window or weights, and those that join paths."""
    return [row.name for row in rows if row.kernel or row.kind in ("add", "concat", "fc", "global_avgpool")]


def _maps(recording: Recording, subject: Subject, image: Picture, chosen: list[str], tell: Progress) -> None:
    """Record the maps of the chosen rows, all as large as fits; then those of other rows, while they fit."""
    from convatlas.explorer.image_documents import maps_document

    def maps(name: str, most_pixels: int) -> dict[str, Any] | None:
        tell(name)
        try:
            return rounded(maps_document(recording.session.bench, subject, image, name, most_pixels))
        except ConvAtlasError:  # neither a map nor a vector
            return None

    def all_chosen(most_pixels: int) -> dict[str, Any]:
        return {name: found for name in chosen if (found := maps(name, most_pixels)) is not None}

    low, high = 0, len(MAP_PIXELS)  # MAP_PIXELS[low] is taken even if not all maps fit
    made = all_chosen(MAP_PIXELS[low])
    while high - low > 1:
        middle = (low + high) // 2
        larger = all_chosen(MAP_PIXELS[middle])
        if recording.size + len(as_json(larger)) + ADDRESS * len(larger) < recording.most:
            low, made = middle, larger
        else:
            high = middle
    parameters = {"subject": subject.id, "image": image.id}
    for name in _spread(list(made)):
        recording.put("maps", {LANGUAGES[0]: made[name]}, {**parameters, "layer": name})
    for row in subject.summary().rows:
        if row.name not in made:
            found = maps(row.name, MAP_PIXELS[low])
            if found is None or not recording.put("maps", {LANGUAGES[0]: found}, {**parameters, "layer": row.name}):
                break


def _spread(names: list[str]) -> list[str]:
    """Both ends first, then the middle: where not all fit, those that do are spread over the network."""
    order: list[str] = []
    step = max(1, len(names))
    while step:
        order += [name for name in [*names[::step], names[-1]] if name not in order]
        step //= 2
    return order


def rounded(value: Any) -> Any:
    """A document whose numbers have five significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def as_json(value: Any) -> bytes:
    """JSON for a script element: no ``<``, with which an end tag could begin."""
    text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()


def html(answers: Mapping[str, Any]) -> bytes:
    """The built page as one file: its script and style inside, allowed by their hashes, and the answers."""
    files = static_files()
    script = files["app.js"].decode().replace("\r\n", "\n").replace("</script", "<\\/script")
    style = files["app.css"].decode().replace("\r\n", "\n").replace("</style", "<\\/style")
    policy = POLICY.format(script=_hash(script), style=_hash(style))
    page = files["index.html"].decode()
    for tag in ('<script type="module" crossorigin src="./app.js"></script>',
                '<link rel="stylesheet" crossorigin href="./app.css">'):  # fmt: skip
        assert page.count(tag) == 1, "the built page has one script and one style sheet"
        page = page.replace(tag, "")
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}" />'
    page = page.replace('<meta charset="utf-8" />', f'<meta charset="utf-8" />\n    {head}', 1)
    before, after = page.split("</head>")
    body, end = after.split("</body>")
    recorded = as_json(answers).decode()
    return (
        f"{before}<style>{style}</style>\n  </head>{body}"
        f'<script type="application/json" id="recorded">{recorded}</script>\n'
        f'    <script type="module">{script}</script>\n  </body>{end}'
    ).encode()


def _hash(content: str) -> str:
    """The source expression of a content security policy for an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
