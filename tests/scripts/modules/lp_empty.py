"""No objects at all."""
from klpfs import Patch

patch = Patch(objects=[])
