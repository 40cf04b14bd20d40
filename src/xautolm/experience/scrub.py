"""Error messages without the user's data: what may go from a run folder into a shared store.

Libraries put rows, labels and paths into their messages, quoted or not, so removing what looks private is
not enough: only words that are known to be technical stay. The full traceback stays in the run folder
(`trials/<id>.log`).
"""

from __future__ import annotations

import re

MAX_CHARS = 200
MAX_WORD_CHARS = 60
GAP = "…"

#: Words of error messages of Python, PyTorch, Transformers, PEFT, CUDA and operating systems, and the
#: English glue between them. None of them says anything about a user.
KNOWN_WORDS = frozenset(  # one word per item would be 500 lines
    """
    a abort aborted access accumulation activation adapter address after again alignment all allocate
    allocated allocation allocator already an and any api are argument arguments array as assertion at
    attempt attempted attention attribute available backend backward bad batch batches be because been
    before below best bf16 block bool both broken buffer bug but by bytes cache call called calling can
    cannot capability cast capacity card changed channel check checkpoint child class classes
    classification closed code column columns compiled compute concatenate config configuration
    connection contain contains context contiguous convert could corrupt corrupted cpu crash crashed
    create cublas cuda cudnn cut data dataset datatype deadlock decoder default denied descriptor
    detected device devices dict did different dim dimension dimensions directory disk diverged division
    divisible do does domain done double driver dropout dtype due dump during dynamic each either
    element elements embedding empty encoder encountered end enough entries epoch epochs error errors
    eval evaluation exceed exceeded exceeds except execute execution exhausted exist exists exit exited
    expected fail failed failure fault file files finite fit float float16 float32 float64 folder for
    format found fp16 fp32 fraction free from full function gather gb generator get gib given gpu grad
    gradient gradients greater group had half handle has hang have head header heartbeat hidden id ids
    if illegal implement implemented import in inconsistent index indices inf infinite inf/nan infinity
    initialized inner input inputs insufficient int int32 int64 integer interface internal interrupted
    into invalid io is it item iterable its kb kernel key keys kib kill killed killer label labels large
    larger last launch layer layers learning left length less library limit list load loaded loading
    locked long longer loss made many map mask mat1 mat2 match matrix max maximum mb memory message
    method mib min minimum mismatch missing mixed mode model module more mps multiplied must name named
    nan negative new no non none nonzero not null number object of off on one only op open operand
    operation operations operator optimizer or other out output outputs overflow own package padding
    parallel parameter parameters parent pass path peak permission pipe place pool pooling port position
    positive precision predict prediction predictions process processes processor program provided
    python pytorch quota range rank rate raise raised ran reached read reason received refused remote
    requested required requires reserved reset resource result results returned returning reduction row
    rows run runtime safetensors same sample samples scalar score scores second seconds seed
    segmentation sequence server set several shape shapes shared should sigabrt sigbus sigint sigkill
    signal sigsegv sigterm singular size sizes skipped smaller so some space split spawn stack started
    state status step steps stop stopped storage str string subprocess such support supported system
    target targets temporary tensor tensors terminated test text than that the their there these they
    this thread threads time timed timeout to token tokenizer tokens too top torch total train training
    transformers tried true tuple two type types unable unavailable undefined unexpected unit unknown
    unpack unsupported until up usable usage use used using valid validation value values vector version
    view vocabulary wait waiting was weight weights were when where which while width will with within
    without word words worker write writing wrong zero
    """.split()  # noqa: SIM905
)

_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|“[^”]*”|‘[^’]*’|«[^»]*»|(?<!\w)'.*?'(?!\w)")
_OPEN_QUOTE = re.compile(r"(?:[`\"“‘«]|(?<!\w)').*")
#: A path of any system; what counts is the last part.
_PATH = re.compile(r"\S*[/\\](?=\S)")
_FILE_NAME = re.compile(
    r"[\w.-]{1,60}\.(?:bin|csv|db|gz|json|jsonl|log|model|parquet|pt|py|safetensors|so|tsv|txt|yaml)"
    r"(?::\d{1,6})?"
)
_NUMBER = re.compile(r"[+-]?\d{1,7}(?:\.\d{1,4})?(?:e[+-]?\d{1,3})?%?|\d{1,6}(?:x\d{1,6}){1,3}", re.IGNORECASE)
_EXCEPTION_NAME = re.compile(
    r"(?:[A-Za-z_]\w{0,30}\.){0,4}[A-Z][A-Za-z]{0,40}(?:Error|Exception|Exit|Interrupt|Warning)"
)
_EDGE = re.compile(r"^([(\[{<]*)(.*?)([)\]}>.,;:!?]*)$", re.DOTALL)


def scrub(message: str) -> str:
    """Reduce an error message to its technical part.

    The first line that is not blank stays, without quoted strings; paths are cut to their file name; of the
    remaining words only known technical ones, numbers of at most seven digits, exception names and names of
    files stay. What was removed shows as one `…`. Scrubbing twice changes nothing.

    Args:
        message: any text, usually an exception's name and message.

    Returns:
        At most 200 characters on one line; empty for a blank message.

    >>> scrub("ValueError: could not convert string to float: 'my dear Anna'")
    'ValueError: could not convert string to float: …'
    >>> scrub("CUDA out of memory. Tried to allocate 20.00 MiB.")
    'CUDA out of memory. Tried to allocate 20.00 MiB.'
    >>> scrub("No such file or directory: /home/anna/letters/train.csv")
    'No such file or directory: train.csv'
    """
    line = next((line for line in message.splitlines() if line.strip()), "")[: 20 * MAX_CHARS]
    for pattern in (_QUOTED, _OPEN_QUOTE):
        line = pattern.sub(f" {GAP} ", line)
    kept: list[str] = []
    for word in line.split():
        safe = _scrub_word(word)
        if safe != GAP or kept[-1:] != [GAP]:
            kept.append(safe)
    return _shorten(" ".join(kept))


def _scrub_word(word: str) -> str:
    """The word when it is harmless, its file name when it is a path, else the gap; its punctuation stays."""
    before, core, after = _match_edges(word)
    if not core:
        return word if len(word) <= 3 and word.isascii() else GAP
    if not _is_harmless(core):
        core = _PATH.sub("", core)
        if not _FILE_NAME.fullmatch(core):
            return GAP
    return before[:3] + core + after[:3]


def _match_edges(word: str) -> tuple[str, str, str]:
    match = _EDGE.match(word)
    assert match is not None  # noqa: S101 - the pattern matches every string
    before, core, after = match.groups()
    return before, core, after


def _is_harmless(core: str) -> bool:
    """Whether a word is the gap, a number, an exception's name, or made of known words (`size=16`)."""
    if len(core) > MAX_WORD_CHARS:
        return False
    name, _, value = core.rpartition("=")
    is_value = value == GAP or _NUMBER.fullmatch(value) or _EXCEPTION_NAME.fullmatch(value)
    return (not name or _is_known(name)) and (bool(is_value) or _is_known(value))


def _is_known(name: str) -> bool:
    return all(part.lower() in KNOWN_WORDS for part in re.split(r"[-_/]", name))


def _shorten(text: str) -> str:
    """Cut at a space so that at most `MAX_CHARS` characters stay."""
    if len(text) <= MAX_CHARS:
        return text
    return text[: MAX_CHARS + 1].rsplit(" ", 1)[0]
