"""An audit as it is written down: command line or TOML -> checked values -> audits."""

from clonecost.config.build import (
    SERIES,
    Parts,
    audits,
    bring_victim,
    default_milestones,
    default_out,
    load_attacked,
    load_parts,
    load_test,
    singles,
)
from clonecost.config.defaults import (
    asks_proxy,
    endpoint_url,
    features_of,
    generators_of,
    lost_limit,
    needs_proxy,
    of_table,
    proxy_name,
    student_name,
    test_name,
    victim_shape,
)
from clonecost.config.key import Key, Scalar, keys, parse_value
from clonecost.config.lookup import answer_kind, make_attack, make_defence, make_device
from clonecost.config.parse import make_spec, read_spec, read_toml, to_toml
from clonecost.config.schema import Column, Spec

__all__ = [
    "SERIES",
    "Column",
    "Key",
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
    "features_of",
    "generators_of",
    "keys",
    "load_attacked",
    "load_parts",
    "load_test",
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
