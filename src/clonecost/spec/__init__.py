"""An audit as it is written down: command line or TOML -> checked values -> audits."""

from clonecost.spec.implied import (
    asks_proxy,
    endpoint_url,
    generators_of,
    lost_limit,
    needs_proxy,
    of_table,
    proxy_name,
    student_name,
    test_name,
    victim_shape,
)
from clonecost.spec.loading import (
    SERIES,
    Parts,
    audits,
    bring_victim,
    default_milestones,
    default_out,
    load_parts,
    singles,
)
from clonecost.spec.model import FORM, FREE, OWN, REMOTE, Scalar, Spec
from clonecost.spec.parts import answer_kind, make_attack, make_defence, make_device, parse_value
from clonecost.spec.reading import make_spec, read_spec, read_toml, to_toml

__all__ = [
    "FORM",
    "FREE",
    "OWN",
    "REMOTE",
    "SERIES",
    "Parts",
    "Scalar",
    "Spec",
    "answer_kind",
    "asks_proxy",
    "audits",
    "bring_victim",
    "default_milestones",
    "default_out",
    "endpoint_url",
    "generators_of",
    "load_parts",
    "lost_limit",
    "make_attack",
    "make_defence",
    "make_device",
    "make_spec",
    "needs_proxy",
    "of_table",
    "parse_value",
    "proxy_name",
    "read_spec",
    "read_toml",
    "singles",
    "student_name",
    "test_name",
    "to_toml",
    "victim_shape",
]
