"""The resolver `line-union`: the union of the lines of all siblings, sorted, each once.

Invariant: the answer depends on the bytes of the siblings alone, never on their order. There is no clock
and no randomness here, and `set` must not be iterated before it is sorted.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.about import Description, Laws, Sample
from wit_world.exports.resolver import Resolution, Resolution_Merged
from wit_world.imports.types import Extra, Sibling


class Resolver(exports.Resolver):
    def resolve(
        self, key: bytes, siblings: list[Sibling], extras: list[Extra], params: bytes
    ) -> Resolution:
        # An empty line is no line, so an empty value is an empty list.
        lines = {line for sibling in siblings for line in sibling.value.split(b"\n") if line}
        return Resolution_Merged(b"\n".join(sorted(lines)))


class About(exports.About):
    def describe(self) -> Description:
        return Description(
            name="line-union",
            version="0.1.0",
            laws=Laws.COMMUTATIVE | Laws.ASSOCIATIVE | Laws.IDEMPOTENT,
            # Calls that the server tries the laws on, in canonical order: by value.
            samples=[sample(b"apple\npear", b"pear\nplum"), sample(b"", b"apple", b"quince")],
            extras=[],
        )

    def check_params(self, params: bytes) -> None:
        if params:
            raise Err("line-union takes no params; bind the bucket with empty params")


def sample(*values: bytes) -> Sample:
    siblings = [Sibling(value, "text/plain", [], 1_700_000_000_000, []) for value in values]
    return Sample(b"list", siblings, b"")
