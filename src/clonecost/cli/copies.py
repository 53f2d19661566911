"""Where `--out` leads: a folder of this machine, or an address at which copies of it lie."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clonecost.cli.errors import errors, fail, sentences
from clonecost.persistence.run_store import RunStore, is_address


def of_this_machine(text: str) -> Path:
    """The folder that a text names; an address is refused, by commands that take none."""
    if is_address(text):
        fail(f"{text} is an address, and this command needs a folder of this machine.")
    return Path(text)


def place_of(out: str | None) -> tuple[Path | None, RunStore | None]:
    """The folder that `--out` names, and the store whose folder it is, if it names an address."""
    if out is not None and is_address(out):
        store = RunStore(out)
        return store.root, store
    return (None if out is None else Path(out)), None


@contextmanager
def copied(store: RunStore | None, *, works: bool) -> Iterator[None]:
    """Fetch what lies at the address, and copy this machine's folder there in the end.

    Args:
        works: see `RunStore.held`.
    """
    if store is None:
        yield
        return
    with sentences(), store.held(works=works):
        errors.print(f"working in {store.root}", markup=False, soft_wrap=True)
        yield
