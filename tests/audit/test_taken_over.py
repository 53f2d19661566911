"""An evaluation whose rows another run has paid for: no row is sent, and nothing is counted twice."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest
import torch
from tests.support.toys import make_audit
from torch import Tensor

from clonecost.audit import Audit, run_audit
from clonecost.errors import LedgerError
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.record import Record
from clonecost.result import Result
from clonecost.workflows.verify import verify
