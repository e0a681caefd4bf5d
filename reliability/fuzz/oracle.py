"""What must hold for every input, whatever it is."""

from __future__ import annotations

from core import http
from core.signature import sign
from reliability.fuzz.world import KEY, MARKER, World

_FIXED = {
    response.status: response.body
    for response in (http.BAD_REQUEST, http.UNAUTHORIZED, http.FORBIDDEN, http.METHOD_NOT_ALLOWED, http.TOO_LARGE)
}
_KEPT = {http.ACCEPTED.body, http.SPOOLED.body, http.QUARANTINED.body}


class ViolationError(AssertionError):
    """A promise was broken."""


def require(holds: bool, promise: str) -> None:
    """Raise unless it holds.

    Raises:
        ViolationError: it does not; the text is the promise.
    """
    if not holds:
        raise ViolationError(promise)


def check(world: World, status: int, answer: bytes, body: bytes, *, genuine: bool | None) -> None:
    """Compare an answer with who sent the request.

    Args:
        world: what the request left behind.
        status: of the answer.
        answer: its body.
        body: what the sender signed, or would have.
        genuine: whether it carries a signature that holds for its bytes, made by who has the key. None for such a
            request that may have lost a part on its way: then either answer is right.

    Raises:
        ViolationError: the answer, what was kept or what was logged is not what it must be.
    """
    kept, said = world.kept(), world.output.take()
    if genuine or (genuine is None and status == http.ACCEPTED.status):
        require(status == http.ACCEPTED.status, f"an authentic event is answered 200 and not {status}")
        require(answer in _KEPT, "the body of a 200 is one of three")
        require(kept == [body], "an authentic event is kept once, with the bytes that were signed")
    else:
        require(status in _FIXED, f"whoever has no key is answered 4xx and not {status}")
        require(answer == _FIXED[status], "a refusal has the one body of its status")
        require(not kept and not world.store.objects, "of a request without authority nothing is kept")
    signature = sign(body, KEY)
    for planted, what in ((KEY.reveal(), "the key"), (MARKER, "planted data"), (signature, "a signature")):
        require(planted not in said and planted.encode() not in answer, f"{what} is neither logged nor answered")
    require(KEY.digest(body).hex() not in said, "a signature is not logged in hex either")
