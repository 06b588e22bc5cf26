"""Shadow variables: attached, found, not attached twice, freed; each step a line of the log."""
from klpfs import pr_info, shadow

COUNT, NOTE = 1, 2


class Thing:
    pass


def shown(value):
    return "None" if value is None else str(value)


def make(obj, data):
    pr_info("lp_shadow: made with %s" % data)
    return data * 2


def drop(obj, data):
    pr_info("lp_shadow: dropped %s" % data)


def init():
    one, two = Thing(), Thing()
    pr_info("lp_shadow: get %s" % shown(shadow.get(one, COUNT)))
    pr_info("lp_shadow: alloc %s" % shown(shadow.alloc(one, COUNT, make, 21)))
    pr_info("lp_shadow: get %s" % shown(shadow.get(one, COUNT)))
    pr_info("lp_shadow: other id %s" % shown(shadow.get(one, NOTE)))
    pr_info("lp_shadow: get_or_alloc %s" % shown(shadow.get_or_alloc(one, COUNT, make, 4)))
    pr_info("lp_shadow: get_or_alloc %s" % shown(shadow.get_or_alloc(two, COUNT, make, 4)))
    pr_info("lp_shadow: alloc again %s" % shown(shadow.alloc(one, COUNT, make, 5)))
    shadow.free(one, COUNT, drop)
    pr_info("lp_shadow: freed %s" % shown(shadow.get(one, COUNT)))
    shadow.free_all(COUNT, drop)
    pr_info("lp_shadow: all freed %s" % shown(shadow.get(two, COUNT)))
    return 0
