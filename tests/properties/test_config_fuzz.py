"""A few of the documents of `prove_config`, and the traps one by one."""

import pytest

import stimloop as sl
from stimloop.assemblies.wiring import check
from stimloop.loops.errors import AssemblyError

from ..crash import prove_config as proof
