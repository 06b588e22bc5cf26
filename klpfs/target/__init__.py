"""What the engine patches: as arch/ is to the kernel's livepatch. One folder a target."""
