"""Models of MyoSuite's tasks are compiled once: of making an environment, that is what takes long.

A task compiles its model anew for every environment: 0.2 to 1 s, and 30 MB of the same numbers. Here the first one made
keeps what was compiled, and those after it are given copies of it (20 ms). Each has a copy of its own, since tasks
write into their models (targets, masses, terrain).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

MOST = 4  # kinds of environments whose models are kept, some 40 MB each
_kept: OrderedDict[str, list[Any]] = OrderedDict()  # models by kind, in the order in which they are compiled
_one_at_a_time = threading.RLock()


@contextmanager
def compiled_once(kind: str) -> Iterator[None]:
    """Within it MyoSuite gives copies where it has compiled a model for this kind of environment before.

    Args:
        kind: what tells environments apart that compile other models: the task and its parameters.
    """
    from myosuite.core.model_builder import ModelBuilder

    compiles, asked = ModelBuilder.build, 0

    def build(builder: Any) -> tuple[Any, Any]:
        nonlocal asked
        asked += 1
        if asked > len(models):
            model, spec = compiles(builder)
            models.append(copy(model))
            return model, spec
        return copy(models[asked - 1]), builder.build_spec()

    with _one_at_a_time:
        models = _kept.setdefault(kind, [])
        _kept.move_to_end(kind)
        ModelBuilder.build = build
        try:
            yield
        except BaseException:
            del _kept[kind]
            raise
        finally:
            ModelBuilder.build = compiles
            while len(_kept) > MOST:
                _kept.popitem(last=False)
