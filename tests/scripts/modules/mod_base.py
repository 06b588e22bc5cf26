"""What mod_user needs."""


def base():
    return "base"
