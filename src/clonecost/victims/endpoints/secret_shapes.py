"""What a secret looks like: by the name of its place, or by its own shape."""

import re
from itertools import pairwise

# Names of headers, parameters and fields whose values are secrets.
NAMES = re.compile(
    r"auth|cookie|api.?key|(^|[-_])key$|token|secret|passw|credential|signature|^sig$",
    re.IGNORECASE,
)
# The forms that the issuers of keys document, and the schemes of an Authorization header.
_ISSUED = re.compile(
    r"""
    \b(?: (?:sk|pk|rk)[-_](?=[\w-]*\d)[\w-]{12,}      # OpenAI, Anthropic, Stripe
        | gh[pousr]_[A-Za-z0-9]{16,} | github_pat_\w{20,} | glpat-[\w-]{16,}
        | (?:AKIA|ASIA)[A-Z0-9]{12,} | AIza[\w-]{20,} | ya29\.[\w-]{10,}
        | hf_[A-Za-z0-9]{16,} | xox[abprs]-[\w-]{10,} | r8_[A-Za-z0-9]{16,}
        | eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?        # JSON Web Token
        | (?i:bearer)\s+(?!env:)[^\s"']{6,}
      )
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY
    | \b\w+://[^\s/:@]+:(?!env:)[^\s/@]+@             # user:password@ in an address
    """,
    re.VERBOSE,
)
_SCHEME = re.compile(r"(basic|digest|(token|apikey|key)(?=.*\d))\s+(?!env:)\S{6,}", re.IGNORECASE)
VARIABLE = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")  # stands for an environment variable
_RUN = re.compile(r"[A-Za-z0-9+=]{20,}")  # a token between punctuation, words of a name excluded
_AWS = re.compile(r"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])")  # a secret access key
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
LEAST_CHANGES, LEAST_OF_40 = (
    8,
    6,
)  # of kind (capital, small letter, digit) in 20 characters of a random token


def is_secret(text: str, *, header: bool = False) -> bool:
    """Whether the text holds what looks like a key, a token or a password.

    Args:
        text: the value of a header, a field or a parameter; `env:NAME` in it is no secret.
        header: also take a UUID for a key. Elsewhere it is more often the name of a thing.

    Example:
        >>> is_secret("Bearer abcdef123456"), is_secret("Bearer env:TOKEN"), is_secret("resnet50")
        (True, False, False)
    """
    rest = VARIABLE.sub(" ", text)
    if _ISSUED.search(text) or (header and (_UUID.search(rest) or _SCHEME.fullmatch(text))):
        return True
    if any(_is_random(key.replace("/", ""), LEAST_OF_40, kinds=3) for key in _AWS.findall(rest)):
        return True
    return any(_is_random(token, LEAST_CHANGES) for token in _RUN.findall(rest)) or any(
        re.search(r"\d", run) and re.search(r"[a-fA-F]", run) for run in _HEX.findall(rest)
    )


def _is_random(token: str, least: int, *, kinds: int = 2) -> bool:
    """Whether the kind of character changes as often as in a random token, not as in a name."""
    found = ["a" if one.islower() else "A" if one.isupper() else "1" for one in token]
    changes = sum(first != second for first, second in pairwise(found))
    return len(set(found)) >= kinds and changes * 20 >= least * len(token)
