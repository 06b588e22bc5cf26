"""Kinds of changes at which a livepatch may go wrong, each told by pairs of releases as strangers write them; a file
for each group of them."""
from tests.cases.kinds import caches, classes, closures, frameworks, instances, modules, registries, tables, taken_back

KINDS = {kind.name: kind for group in (tables, instances, classes, caches, registries, frameworks, modules, closures,
                                       taken_back) for kind in group.KINDS}
