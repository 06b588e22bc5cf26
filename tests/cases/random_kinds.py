"""Random pairs of releases of every kind (tests/strategies.py), as pairs of tests/cases."""
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests import strategies
from tests.cases.kinds.kind import Kind


def _kind(name, pair):
    """A pair as a release of one module."""
    held = pair.held()
    asks = [f"eval({probe!r}, vars(m))" for items in (pair.old, pair.new) for probe in pair.probes(items)]
    asks += [f"eval({probe!r}, dict(vars(m), HELD=HELD[{at}]))" for at, (_, then, now) in enumerate(held)
             for probe in {*then, *now}]
    makes = f"HELD = [eval(each, vars(m)) for each in {[made for made, _, _ in held]!r}]\n"
    return Kind(name, pair.old_source, pair.new_source, tuple(dict.fromkeys(asks)), makes,
                carried=not pair.exotic, meanwhile={})


def random_kinds(number, count):
    """{name: Kind} of so many pairs; the same for the same number."""
    pairs = []

    @seed(number)
    @settings(max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
              deadline=None)
    @given(strategies.kind_pairs())
    def gather(pair):
        pairs.append(pair)
    if count:
        gather()
    found = [_kind(f"random {number}.{at}", pair) for at, pair in enumerate(pairs)
             if pair.old_source != pair.new_source]
    return {kind.name: kind for kind in found}
